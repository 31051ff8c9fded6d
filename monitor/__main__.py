"""`python -m monitor --files DIR [--service URL]`: the launcher starts it beside what it watches."""

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from contract.settings import load_settings
from contract.stores.opening import open_stores
from contract.telemetry import configure_logging, event_log
from monitor.canary import Canary
from monitor.http_client import ServiceClient
from monitor.listener import Listener, registry_of
from monitor.service_facts import ServiceFacts

log = event_log(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM."""
    arguments = make_parser().parse_args(argv)
    settings = load_settings()
    configure_logging(settings.logging)
    monitoring = settings.api.monitoring
    stop = threading.Event()

    def ask_to_stop(_signum: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask_to_stop)
    signal.signal(signal.SIGINT, ask_to_stop)
    stores = open_stores(settings) if arguments.service else None
    facts = None if stores is None else ServiceFacts(stores)
    listener = Listener(registry_of(arguments.files, facts), arguments.host or settings.api.host, arguments.port)
    listener.start()
    log.info("metrics_listening", port=listener.port)
    if stores is not None and monitoring.canary_interval_s > 0:
        key = next(iter(settings.api.keys), None)
        client = ServiceClient(arguments.service, api_key=key, timeout_s=settings.api.sync_wait_s)

        def worker_of(job_id: str) -> str:
            job = stores.jobs.get(job_id) if job_id else None
            return "" if job is None else job.worker or ""

        Canary(client, stores.canary, monitoring, worker_of=worker_of).run(stop)
    stop.wait()
    listener.stop()
    return 0


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m monitor")
    parser.add_argument("--files", type=Path, required=True, metavar="DIR", help="where the processes leave figures")
    parser.add_argument("--port", type=int, required=True, help="port to answer on; 0: any")
    parser.add_argument("--host", help="address to listen on (default: as the API)")
    parser.add_argument(
        "--service", metavar="URL", help="of the API here: tell of the queue and the workers, too, and keep the canary"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
