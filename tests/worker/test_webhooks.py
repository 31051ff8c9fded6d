"""Webhooks over real sockets: sent, signed, sent again, and never where they must not go."""

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from patience import eventually

from contract.schemas import Job
from contract.settings import JobSettings, Settings, WebhookSettings
from contract.webhooks import signature, signing_key
from worker import webhooks as webhooks_module
from worker.webhooks import LEASE_S, RETRY_AFTER_S, Webhooks

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
INNER = WebhookSettings(secret=SECRET, allow_private=True, timeout_s=5.0)


class Receiver(ThreadingHTTPServer):
    """Answers with the statuses of `answers` in turn, then 204; `got` has every request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[int] = []
        self.got: list[tuple[str, dict[str, str], bytes]] = []

    def url(self, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}/hook?a=1"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 204)
        self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST  # noqa: N815 - the base class's name

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.fixture
def sender(stores, clock):
    def make(settings: WebhookSettings = INNER) -> Webhooks:
        return Webhooks(stores, settings, unix_s=clock)

    return make


@pytest.fixture
def ended(stores, submit):
    """A cancelled job with a webhook."""

    def make(url: str) -> Job:
        job = stores.jobs.request_cancel(submit(webhook_url=url).id)
        assert not is_over(stores)
        return job

    return make


def is_over(stores) -> bool:
    return not stores.webhooks._due


def idle(webhooks: Webhooks) -> None:
    """Until every attempt that was begun has ended."""
    eventually(lambda: webhooks._places._value == webhooks_module.AT_ONCE)


def sweep(webhooks: Webhooks) -> None:
    webhooks.sweep()
    idle(webhooks)


def test_a_spoken_job_is_told_of_signed_and_without_its_text(make_runtime, stores, submit, receiver, clock):
    settings = Settings(jobs=JobSettings(heartbeat_s=0.02, sweep_s=3600.0), webhooks=INNER)
    runtime = make_runtime(settings=settings)
    job = submit("Nobody else's business", webhook_url=receiver.url(), metadata={"chapter": 3})
    runtime.sweep()
    runtime.synthesize(job.id)
    runtime.sweep()
    eventually(lambda: is_over(stores))

    ((path, headers, body),) = receiver.got
    told = json.loads(body)
    assert (path, headers["content-type"]) == ("/hook?a=1", "application/json")
    assert (told["id"], told["status"], told["metadata"]) == (job.id, "done", {"chapter": 3})
    assert told["audio_url"] == f"/api/v1/jobs/{job.id}/audio"
    assert b"business" not in body
    assert headers["webhook-id"] == job.id
    assert headers["webhook-timestamp"] == str(int(clock.now_s))
    assert headers["webhook-signature"] == signature(signing_key(SECRET), job.id, int(clock.now_s), body)


def test_what_was_not_heard_is_sent_again_later_under_the_same_id(stores, ended, sender, receiver, clock):
    receiver.answers = [500, 429]
    job, webhooks = ended(receiver.url()), sender()
    sweep(webhooks)
    sweep(webhooks)
    assert len(receiver.got) == 1, "not before its time"
    clock.turn(RETRY_AFTER_S[0])
    sweep(webhooks)
    clock.turn(RETRY_AFTER_S[1])
    sweep(webhooks)

    assert is_over(stores)
    assert [headers["webhook-id"] for _, headers, _ in receiver.got] == [job.id] * 3
    assert len({headers["webhook-timestamp"] for _, headers, _ in receiver.got}) == 3


def test_it_is_given_up_in_the_end(stores, ended, sender, receiver, clock):
    receiver.answers = [503] * 100
    ended(receiver.url())
    webhooks = sender()
    for pause in (*RETRY_AFTER_S, 1e5, 1e5):
        sweep(webhooks)
        clock.turn(pause)

    assert is_over(stores)
    assert len(receiver.got) == len(RETRY_AFTER_S) + 1


def test_a_receiver_that_wants_no_more_is_left_alone(stores, ended, sender, receiver):
    receiver.answers = [410]
    ended(receiver.url())
    sweep(sender())

    assert is_over(stores)


def test_a_killed_workers_attempt_is_made_by_another(stores, ended, sender, receiver, clock):
    ended(receiver.url())
    stores.webhooks.claim(lease_s=LEASE_S, limit=1)  # and nothing more was heard of that worker
    survivor = sender()
    sweep(survivor)
    assert receiver.got == []
    clock.turn(LEASE_S + 1)
    sweep(survivor)

    assert len(receiver.got) == 1
    assert is_over(stores)


def test_two_workers_send_an_attempt_once(stores, ended, sender, receiver):
    for _ in range(8):
        ended(receiver.url())
    workers = [sender(), sender()]
    while not is_over(stores):
        for webhooks in workers:
            webhooks.sweep()
        for webhooks in workers:
            idle(webhooks)

    assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == len(receiver.got) == 8


def test_a_redirect_is_not_followed(stores, ended, sender, receiver):
    receiver.answers = [307]
    ended(receiver.url())
    sweep(sender())

    assert [path for path, _, _ in receiver.got] == ["/hook?a=1"]
    assert not is_over(stores)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1"])
def test_a_private_address_is_not_called_under_any_name(stores, ended, sender, receiver, host):
    ended(receiver.url(host))
    sweep(sender(replace(INNER, allow_private=False)))

    assert receiver.got == []
    assert is_over(stores)


def test_a_name_that_leads_to_a_private_address_beside_a_public_one_is_refused(stores, ended, sender, monkeypatch):
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 80)) for ip in ("93.184.215.14", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    monkeypatch.setattr(webhooks_module, "post", lambda *_, **__: pytest.fail("called"))
    ended("http://sly.example/")
    sweep(sender(replace(INNER, allow_private=False)))

    assert is_over(stores)


def test_the_connection_goes_to_the_address_that_was_looked_at(stores, ended, sender, receiver, monkeypatch):
    """The name is resolved once; a second answer, which the connection would have got, is never asked for."""
    real, asked = socket.getaddrinfo, []

    def rebinding(host, port, *args, **options):
        if host == "rebinding.example":
            asked.append(host)
            address = "127.0.0.1" if len(asked) == 1 else "203.0.113.1"
            return real(address, port, *args, **options)
        return real(host, port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    ended(receiver.url("rebinding.example"))
    sweep(sender())

    assert asked == ["rebinding.example"]
    ((_, headers, _),) = receiver.got
    assert headers["host"] == f"rebinding.example:{receiver.server_port}"


def test_an_answer_that_drips_is_cut_off(stores, ended, sender):
    """Each byte would begin a socket's own time-out anew."""
    stop = threading.Event()

    def drip(server: socket.socket) -> None:
        client, _ = server.accept()
        with client:
            client.recv(65_536)
            while not stop.wait(0.05):
                try:
                    client.sendall(b"H")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        ended(f"http://127.0.0.1:{server.getsockname()[1]}/")
        try:
            sweep(sender(replace(INNER, timeout_s=0.3)))
        finally:
            stop.set()
            thread.join(10)

    assert not is_over(stores)  # it is tried again


def test_an_erased_job_is_told_to_nobody(stores, ended, sender, receiver):
    stores.jobs.delete(ended(receiver.url()).id)
    sweep(sender())

    assert receiver.got == []
    assert is_over(stores)


def test_without_a_secret_nothing_is_claimed(stores, ended, sender, receiver):
    ended(receiver.url())
    sweep(sender(WebhookSettings()))

    assert len(stores.webhooks.claim(lease_s=1, limit=1)) == 1
