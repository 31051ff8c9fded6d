"""The one listener of a machine: `GET /metrics` for Prometheus."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path
from socketserver import ThreadingMixIn
from threading import Lock, Thread
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import make_wsgi_app
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from monitor.dead_processes import fold_dead


class ProcessFiles(Collector):
    """The figures of all processes, living and dead, summed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock()  # nobody reads while the dead are folded
        self._files = MultiProcessCollector(None, str(folder))

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            fold_dead(self._folder)
            return list(self._files.collect())


def registry_of(folder: Path, facts: Collector | None) -> CollectorRegistry:
    """What one scrape shows: the processes' files in `folder`, and the service's facts where it is asked for them."""
    registry = CollectorRegistry()
    registry.register(ProcessFiles(folder))
    if facts is not None:
        registry.register(facts)
    return registry


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """A scrape every few seconds is no news."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


class Listener:
    """Serves one registry.  Port 0: any free one."""

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        kind = _Server6 if ":" in host else _Server
        self._server = make_server(host, port, make_wsgi_app(registry), kind, handler_class=_Quiet)
        self.port: int = self._server.server_port

    def start(self) -> None:
        Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
