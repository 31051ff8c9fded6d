"""Ask the API whether the whole service is ready, and say what it runs on."""

import json
import urllib.error
import urllib.request
from pathlib import Path

from contract.schemas import WorkerState

HEALTH_TIMEOUT_S = 3.0


def is_ready(url: str, *, path: str = "/health") -> bool:
    """Whether GET {url}{path} answers 200; `/health`: weights loaded and a warm-up spoken."""
    try:
        with urllib.request.urlopen(f"{url}{path}", timeout=HEALTH_TIMEOUT_S) as answer:  # noqa: S310 - our own http URL
            status: int = answer.status
            return status == 200
    except (urllib.error.URLError, OSError, ValueError):  # refused, reset, 503, or half an answer
        return False


def describe(worker: WorkerState) -> str:
    """One line about a worker: what computes, how precisely, from which weights, what it can do."""
    encoder = "encodes voices" if worker.encoder_available else "needs supplied latents"
    revision = f" ({worker.revision})" if worker.revision else ""
    return (
        f"{worker.name}: device {worker.device}, precision {worker.precision}, "
        f"checkpoint {worker.checkpoint}{revision}, {worker.max_rows} rows, {encoder}"
    )


def write_ready_file(path: Path, facts: dict[str, object]) -> None:
    """Whole or not at all: a script may wait for the file to appear."""
    aside = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    aside.replace(path)
