"""Tells who asked for it that a job ended: signed, one attempt at a time, again later until it was heard.

The address is resolved once and looked at, and the connection goes to that very address: a name that leads elsewhere
the second time leads nowhere.  No redirect is followed, no proxy asked, no answer read.
"""

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from ipaddress import ip_address

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from contract.errors import ServiceError
from contract.job_view import view
from contract.messages import Language
from contract.records import as_json
from contract.schemas import Job
from contract.settings import WebhookSettings
from contract.stores.interfaces import Stores
from contract.stores.webhooks import Delivery
from contract.telemetry import event_log
from contract.webhooks import Target, is_public, signature, signing_key, target

log = event_log(__name__)

RETRY_AFTER_S = (5.0, 30.0, 120.0, 600.0)  # after the first attempt, the second, …; then it is given up
LEASE_S = 90.0  # of an attempt; far above the time-out and what a resolver takes
AT_ONCE = 4  # attempts of one worker; who does not answer holds up no other for long
ADDRESSES = 3  # of one name, tried in turn
GONE = 410  # the receiver wants no more, says the specification


class AddressRefused(Exception):
    """The name leads to an address that may not be called."""


class Webhooks:
    """Sends what is due, on threads of its own."""

    def __init__(self, stores: Stores, settings: WebhookSettings, *, unix_s: Callable[[], float]) -> None:
        self._stores, self._settings, self._unix_s = stores, settings, unix_s
        self._key = None if settings.secret is None else signing_key(settings.secret)
        self._places = threading.Semaphore(AT_ONCE)

    def sweep(self) -> None:
        """Begin every attempt that is due and finds a place.  Without a secret others must do it."""
        if self._key is None:
            return
        free = 0
        while free < AT_ONCE and self._places.acquire(blocking=False):
            free += 1
        begun = 0
        try:
            for delivery in self._stores.webhooks.claim(lease_s=LEASE_S, limit=free) if free else ():
                threading.Thread(target=self._attempt, args=(delivery, self._key), name="webhook", daemon=True).start()
                begun += 1
        finally:
            for _ in range(free - begun):
                self._places.release()

    def _attempt(self, delivery: Delivery, key: bytes) -> None:
        try:
            job = self._stores.jobs.get(delivery.job_id)
            if job is None or job.webhook_url is None:  # erased meanwhile
                self._stores.webhooks.close(delivery)
            else:
                self._send(delivery, job, job.webhook_url, key)
        except ServiceError as error:  # the lease runs out, and somebody tries again
            log.warning("webhook_not_settled", job=delivery.job_id, code=error.code)
        finally:
            self._places.release()

    def _send(self, delivery: Delivery, job: Job, url: str, key: bytes) -> None:
        told = {"job": job.id, "attempt": delivery.attempt}
        outcome, is_last = "worker_lost", delivery.attempt > len(RETRY_AFTER_S)
        if delivery.attempt <= len(RETRY_AFTER_S) + 1:
            try:
                status = self._post(job, url, key)
            except AddressRefused:
                outcome, is_last = "address_refused", True
            except (OSError, HTTPError, http.client.HTTPException, ValueError) as error:
                outcome = type(error).__name__
            else:
                if 200 <= status < 300:
                    log.info("webhook_sent", **told, status=status)
                    self._stores.webhooks.close(delivery)
                    return
                outcome, is_last = str(status), is_last or status == GONE
        if is_last:
            log.error("webhook_given_up", **told, outcome=outcome)
            self._stores.webhooks.close(delivery)
        else:
            log.warning("webhook_failed", **told, outcome=outcome)
            self._stores.webhooks.retry(delivery, after_s=RETRY_AFTER_S[delivery.attempt - 1])

    def _post(self, job: Job, url: str, key: bytes) -> int:
        now_s = self._unix_s()
        items = self._stores.jobs.items(job.id) if job.items else None
        body = as_json(view(job, now_s=now_s, language=Language.EN, items=items)).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "megatts3-server",
            "webhook-id": job.id,  # a job ends once: the same in every attempt
            "webhook-timestamp": str(int(now_s)),
            "webhook-signature": signature(key, job.id, int(now_s), body),
        }
        wanted, settings = target(url), self._settings
        found = addresses(wanted, allow_private=settings.allow_private)
        return post(wanted, found, body, headers, timeout_s=settings.timeout_s)


def addresses(wanted: Target, *, allow_private: bool) -> tuple[str, ...]:
    """What the name leads to now; AddressRefused where any of it may not be called.  OSError: nothing."""
    found = socket.getaddrinfo(wanted.host, wanted.port, type=socket.SOCK_STREAM)
    named = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not allow_private and not all(is_public(ip_address(name)) for name in named):
        raise AddressRefused
    return named[:ADDRESSES]


def post(wanted: Target, at: tuple[str, ...], body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> int:
    """The status of the answer of the first address that takes a connection, all within `timeout_s`."""
    end = time.monotonic() + timeout_s
    connection = _connect(wanted, at, end)
    # A time-out of the socket begins anew with every byte; this one does not.
    timer = threading.Timer(max(0.0, end - time.monotonic()), _cut, (connection.sock,))
    timer.daemon = True
    timer.start()
    try:
        connection.request("POST", wanted.path, body, {"Host": wanted.host_header, **headers}, preload_content=False)
        return int(connection.getresponse().status)
    finally:
        timer.cancel()
        connection.close()


def _connect(wanted: Target, at: tuple[str, ...], end: float) -> HTTPConnection:
    failure: Exception = OSError("no address")
    for address in at:
        left_s = max(0.05, end - time.monotonic())
        connection: HTTPConnection
        if wanted.scheme == "https":
            connection = HTTPSConnection(
                address, wanted.port, timeout=left_s, server_hostname=wanted.host, cert_reqs=ssl.CERT_REQUIRED
            )
        else:
            connection = HTTPConnection(address, wanted.port, timeout=left_s)
        try:
            connection.connect()
        except (OSError, HTTPError) as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure


def _cut(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it ended by itself
        socket.socket.shutdown(connected, socket.SHUT_RDWR)  # below TLS, which would wait for the other side
