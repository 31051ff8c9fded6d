"""How wishes and bodies are read, header by header."""

import io

import flask
import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import FileStorage
from werkzeug.test import EnvironBuilder

from contract.errors import ErrorCode, ServiceError
from megatts3_server import incoming, latent_check
from megatts3_server.negotiation import prefer, wish


def request(**how: object) -> flask.Request:
    return flask.Request(EnvironBuilder(**how).get_environ())


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("", None),
        ("respond-async", 0.0),
        ("wait=5", 5.0),
        ('wait="5"', 5.0),
        ("Wait = 2.5", 2.5),
        ("respond-async, wait=10", 10.0),
        ("wait=10; foo, respond-async", 10.0),
        ("wait=soon", None),
        ("wait=-1", None),
        ("wait=inf", None),
        ("wait=nan", None),
        ("return=minimal", None),
        (",,;=,", None),
    ],
)
def test_prefer_says_how_long_to_wait(header: str, wait_s: float | None):
    assert wish(request(headers={"Prefer": header})).wait_s == wait_s


def test_several_prefer_lines_are_one_list():
    seen = prefer(request(headers=[("Prefer", "respond-async"), ("Prefer", "wait=3"), ("Prefer", "wait=9")]))

    assert seen == {"respond-async": "", "wait": "3"}


@pytest.mark.parametrize(
    ("accept", "as_json"),
    [
        ("application/json", True),
        ("application/json;q=0.9, audio/wav;q=0.5", True),
        ("application/*", True),
        ("application/json;q=0.5, audio/*", False),
        ("application/json, */*", False),
        ("*/*", False),
        ("audio/mpeg", False),
        ("nonsense", False),
    ],
)
def test_accept_says_whether_json_is_liked_better(accept: str, as_json: bool):  # noqa: FBT001 - a table's column
    assert wish(request(headers={"Accept": accept})).as_json is as_json


@given(header=st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=80))
def test_no_prefer_header_breaks_anything(header: str):
    seen = wish(request(headers={"Prefer": header}))

    assert seen.wait_s is None or 0 <= seen.wait_s < float("inf")


KINDS = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "")
REFUSALS = {ErrorCode.MALFORMED_REQUEST, ErrorCode.CONFLICTING_FIELDS, ErrorCode.INVALID_VALUE}


@given(body=st.binary(max_size=200), kind=st.sampled_from(KINDS))
def test_no_body_breaks_anything(body: bytes, kind: str):
    code = None
    with request(method="POST", data=body, content_type=kind) as sent:
        try:
            incoming.read(sent)
        except ServiceError as error:
            code = error.code

    assert code in {None, *REFUSALS}


@given(data=st.binary(max_size=300), header=st.text(max_size=60))
def test_no_bytes_break_the_look_at_a_latent(data: bytes, header: str):
    encoded = header.encode("utf-8", "replace")
    framed = b"\x93NUMPY\x01\x00" + len(encoded).to_bytes(2, "little") + encoded + data
    for latent in (data, framed, b"\x93NUMPY\x01\x00" + data):
        with pytest.raises(ServiceError) as refused:
            latent_check.check(latent)
        assert refused.value.code is ErrorCode.LATENT_INVALID


def test_the_first_of_two_files_under_one_name_counts():
    parts = [("voice_file", FileStorage(io.BytesIO(data), "a.wav")) for data in (b"one", b"two")]
    form = EnvironBuilder(method="POST")
    for name, part in parts:
        form.files.add_file(name, part.stream, "a.wav")
    with flask.Request(form.get_environ()) as sent:
        found = incoming.read(sent, file_names=frozenset({"voice_file"}))

        assert found.files["voice_file"].stream.read() == b"one"
    form.close()
