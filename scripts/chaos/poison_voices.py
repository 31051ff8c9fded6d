"""Recordings that end every worker that prepares them: offered as a voice, and the dead counted.

Each offer has a number of its own, so that it is known how many workers one recording took down.
"""

import io
import itertools
import os
import threading
from collections import Counter
from pathlib import Path

import requests
import soundfile

from scripts.chaos.coded_audio import SAMPLE_RATE
from scripts.chaos.coded_text import POISON_VOICES, clip_of
from scripts.chaos.ledger import Ledger

MOST_DEATHS = 2  # jobs.max_attempts
PAUSE_S = 0.5
CLEAN = {409, 429, 503, 504, 507}
_numbers = itertools.count(POISON_VOICES.start)


def upload(url: str, ledger: Ledger, stop: threading.Event) -> None:
    """Until one offer is refused as what takes workers down; other refusals and broken connections are tried again."""
    while not stop.is_set():
        voice, buffer = next(_numbers), io.BytesIO()
        soundfile.write(buffer, clip_of(voice), SAMPLE_RATE, format="WAV")
        try:
            answer = requests.post(
                f"{url}/api/v1/voices",
                files={"voice_file": buffer.getvalue()},
                data={"voice_id": f"poison_{voice}"},
                timeout=180,
            )
            code = str(answer.json().get("error_code", ""))
        except (requests.RequestException, ValueError):
            ledger.refused("connection_broken")
        else:
            if answer.status_code not in CLEAN:
                ledger.surprise(f"a poisonous voice: {answer.status_code} {code}")
                return
            ledger.refused(f"{code} (voice)")
            if code == "worker_lost":
                return
        stop.wait(PAUSE_S)


def note_death(spoken_log: Path | None, what: int) -> None:
    """This process is about to end by this voice, or by the text of this request."""
    if spoken_log is not None:
        with _deaths(spoken_log).open("a", encoding="ascii") as log:
            log.write(f"{what} {os.getpid()}\n")


def too_deadly(spoken_log: Path) -> dict[str, int]:
    """Recordings and texts that took down more workers than any may, as surprises → how many."""
    path = _deaths(spoken_log)
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    deaths = Counter(line.split()[0] for line in lines)
    return {f"workers that {what} took down": n for what, n in deaths.items() if n > MOST_DEATHS}


def _deaths(spoken_log: Path) -> Path:
    return spoken_log.with_name("poisoned.log")
