"""Changes of jobs and voices over one pub/sub channel; a listener survives a restart of Redis."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

from redis import Redis

from contract.records import as_json
from contract.redis_keys import RedisKeys
from contract.stores.connection import AWAY, translated
from contract.stores.interfaces import Event, EventKind

_POLL_S = 0.5  # how soon `stop` is seen; messages themselves arrive at once
_BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)


class RedisEvents:
    """See interfaces.Events."""

    def __init__(self, redis: Redis, keys: RedisKeys) -> None:
        self._redis = redis
        self._channel = keys.events()

    def publish(self, event: Event) -> None:
        with translated():
            self._redis.publish(self._channel, as_json(event))

    def listen(self, stop: threading.Event) -> Iterator[Event]:
        failures = 0
        while not stop.is_set():
            try:
                for event in self._subscribed(stop):
                    failures = 0
                    yield event
            except AWAY:
                stop.wait(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])
                failures += 1

    def _subscribed(self, stop: threading.Event) -> Iterator[Event]:
        """Events of one connection; RESYNC first, since anything may have happened before it stood."""
        with self._redis.pubsub() as channel:  # type: ignore[no-untyped-call] # so it is in redis-py
            channel.subscribe(self._channel)
            while not stop.is_set():
                message = channel.get_message(timeout=_POLL_S)
                if message is None:
                    continue
                if message["type"] == "subscribe":
                    yield Event(EventKind.RESYNC)
                elif message["type"] == "message":
                    yield _event(message["data"])


def _event(data: bytes) -> Event:
    try:
        fields = json.loads(data)
        return Event(EventKind(fields["kind"]), str(fields["id"]), str(fields["status"]))
    except (ValueError, KeyError, TypeError):  # a newer release speaks: look at everything again
        return Event(EventKind.RESYNC)
