"""The voices a checkpoint ships: clips of training speakers, and the index the worker registers them from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import soundfile
import yaml

from megatts3.rates import SAMPLE_RATE
from megatts3.training.data import Corpus, Entry

_CLIP_S = (4.0, 5.5)  # long enough to hold a voice, short enough to be cheap in every request


@dataclass(frozen=True)
class ShippedVoice:
    """`prefix` chooses the speaker: the first of the corpus whose name starts with it."""

    id: str
    name: str
    prefix: str
    language: str


VOICES = (
    ShippedVoice("default", "Susan", "train-slt-", "en"),
    ShippedVoice("voice_001", "小雨", "train-f2-", "zh"),
    ShippedVoice("voice_002", "老陈", "train-m3-", "zh"),
    ShippedVoice("voice_003", "Roger", "train-rms-", "en"),
    ShippedVoice("voice_004", "Alan", "train-awb-", "en"),
    ShippedVoice("voice_005", "阿美", "train-f4-", "zh"),
)


def write_voices(corpus: Corpus, checkpoint: Path) -> None:
    """FLAC clips and voices.yaml below `checkpoint`/voices."""
    folder = checkpoint / "voices"
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for voice in VOICES:
        entry = _clip(corpus, voice)
        clip = f"{voice.id}.flac"
        soundfile.write(folder / clip, corpus.audio(entry), SAMPLE_RATE, subtype="PCM_16")
        lines.append({"id": voice.id, "name": voice.name, "clip": clip, "language": voice.language,
                      "description": f"teacher {entry.speaker.split('-')[1]}: {entry.text}"})  # fmt: skip
    text = yaml.safe_dump({"voices": lines}, allow_unicode=True, sort_keys=False)
    (folder / "voices.yaml").write_text(text, encoding="utf-8")


def _clip(corpus: Corpus, voice: ShippedVoice) -> Entry:
    """The speaker nearest to the teacher's own pitch, and an utterance of a good length."""
    speakers = [name for name in corpus.by_speaker if name.startswith(voice.prefix)]
    speaker = sorted(speakers)[len(speakers) // 2]
    spoken = [e for e in corpus.by_speaker[speaker] if e.language == voice.language]
    low, high = _CLIP_S
    fitting = [e for e in spoken if low <= e.samples / SAMPLE_RATE <= high] or spoken
    return max(fitting, key=lambda e: len(set(e.phones.tolist())))  # the clip that shows most phones
