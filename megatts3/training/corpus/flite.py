"""flite as a teacher: English, a few voices, phones with durations on its standard output."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

import soundfile

from megatts3.text import phones
from megatts3.training.corpus.speech import Spoken, TimedPhone, Unusable, pause_phones

VOICES = ("slt", "rms", "awb", "kal16")  # not kal: it writes `aa` for `ah`
_MARKS = re.compile(r"[,.;:!?](?=\s|$)")
_PAUSE = "pau"


def speak(text: str, *, voice: str, stretch: float) -> Spoken:
    """`stretch` > 1 speaks slower.  Raises Unusable when pauses and punctuation do not match."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as wav:
        setting = f"duration_stretch={stretch}"
        command = ["flite", "-voice", voice, "-psdur", "--setf", setting, "-t", text, "-o", wav.name]
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
        samples, sample_rate = soundfile.read(Path(wav.name), dtype="float32")
    segments = [item.rsplit(":", 1) for item in listing.split()]
    pauses = iter([phones.SILENCE, *pause_phones(_MARKS.findall(text))])
    if sum(name == _PAUSE for name, _ in segments) != len(_MARKS.findall(text)) + 1:
        raise Unusable("a pause without a mark, or a mark without a pause")
    timed = tuple(
        TimedPhone(next(pauses) if name == _PAUSE else phones.arpabet_phone(name), phones.NO_TONE, float(end))
        for name, end in segments
    )
    return Spoken(samples, sample_rate, timed)
