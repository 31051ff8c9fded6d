"""How webhooks are signed, and which addresses they may go to."""

from ipaddress import ip_address

import pytest

from contract.webhooks import is_public, signature, signing_key, target

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_specifications_example_is_signed_as_it_says():
    signed = signature(signing_key(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')

    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_second_published_example_is_signed_alike():
    body = b'{"event_type":"ping","data":{"success":true}}'
    signed = signature(signing_key("whsec_plJ3nmyCDGBKInavdOK15jsl"), "msg_loFOjxBNrRLzqYUf", 1731705121, body)

    assert signed == "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="


def test_a_secret_is_read_with_and_without_its_prefix():
    assert signing_key(SECRET) == signing_key(SECRET.removeprefix("whsec_"))


@pytest.mark.parametrize("secret", ["whsec_", "not base64!", "c2hvcnQ=", "whsec_whsec_AAAA", "密"])
def test_a_secret_that_is_none_is_refused_without_showing_it(secret):
    with pytest.raises(ValueError, match="a webhook secret") as told:
        signing_key(secret)
    assert secret.removeprefix("whsec_") in {"", "c2hvcnQ="} or secret not in str(told.value)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:93.184.215.14"])
def test_public_addresses_are_public(address):
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",  # clouds' metadata
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%1",
        "fc00::1",
        "ff0e::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:1::1",
    ],
)
def test_others_are_not_however_they_are_dressed(address):
    assert not is_public(ip_address(address))


def test_a_url_is_taken_apart():
    found = target("https://Exämple.org:8443/höök?a=b c&d=%20")

    assert (found.host, found.port, found.path) == ("xn--exmple-cua.org", 8443, "/h%C3%B6%C3%B6k?a=b%20c&d=%20")
    assert found.host_header == "xn--exmple-cua.org:8443"
    assert target("http://[::1]").host_header == "[::1]"


@pytest.mark.parametrize(
    "url", ["ftp://a/", "http://", "http://user:pw@a/", "http://a:99999/", "http://[::1/", "http://" + "ä" * 80 + "/"]
)
def test_what_cannot_be_called_is_refused(url):
    with pytest.raises(ValueError):
        target(url)
