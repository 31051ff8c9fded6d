"""An encoder that ends its process at the third sentence of a text that says so."""

import os
import re
import signal
from pathlib import Path

from megatts3.audio.waveform import Waveform
from scripts.chaos.coded_audio import codes_in
from scripts.chaos.coded_text import SNAG
from scripts.chaos.poison_voices import note_death
from worker.joined_file import JoinedFile

DEADLY_PART = 3


def crash_where_it_says(spoken_log: Path) -> None:
    """From now on, in this process."""
    push = JoinedFile.push

    def push_or_die(file: JoinedFile, segment: Waveform) -> None:
        if re.search(rf"\b{SNAG}\b", file._request.text):  # noqa: SLF001 - what it encodes says nothing of its text
            (code,) = codes_in(segment.samples)
            if code.part == DEADLY_PART:
                note_death(spoken_log, code.number)
                os.kill(os.getpid(), signal.SIGKILL)
        push(file, segment)

    JoinedFile.push = push_or_die  # type: ignore[method-assign] # a crash of what encodes, where it would be
