"""The voices a checkpoint ships: clips of training speakers, their prompts, and the index the worker reads.

The prompts are prepared here, with the teachers' own phones and times: better than any aligner could tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import yaml

from megatts3.audio import loudness
from megatts3.audio.waveform import Waveform
from megatts3.checkpoint import Networks
from megatts3.errors import PromptSilent
from megatts3.pipeline.alignment import Alignment
from megatts3.pipeline.voice import VoicePrompt, assemble, encode, pad_prompt
from megatts3.rates import FRAMES_MULTIPLE, SAMPLE_RATE, SAMPLES_PER_FRAME
from megatts3.training.data import Corpus, Entry

_CLIP_S = (3.0, 4.2)  # long enough to hold a voice, short enough to be cheap in every request


@dataclass(frozen=True)
class ShippedVoice:
    """`prefix` chooses the teacher: one of its speakers in the corpus lends the voice."""

    id: str
    name: str
    prefix: str
    language: str


VOICES = (
    ShippedVoice("default", "Roger", "train-rms-", "en"),
    ShippedVoice("voice_001", "小雨", "train-f2-", "zh"),
    ShippedVoice("voice_002", "老陈", "train-m3-", "zh"),
    ShippedVoice("voice_003", "Susan", "train-slt-", "en"),
    ShippedVoice("voice_004", "Alan", "train-awb-", "en"),
    ShippedVoice("voice_005", "阿美", "train-f4-", "zh"),
)


def write_voices(corpus: Corpus, networks: Networks, checkpoint: Path) -> None:
    """FLAC clips, prompts and voices.yaml below `checkpoint`/voices."""
    folder = checkpoint / "voices"
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for voice in VOICES:
        entry = _clip(corpus, voice)
        clip = f"{voice.id}.flac"
        soundfile.write(folder / clip, corpus.audio(entry), SAMPLE_RATE, subtype="PCM_16")
        prompt = f"{voice.id}.safetensors"
        exact = exact_voice(networks, entry, Waveform(corpus.audio(entry), SAMPLE_RATE))
        (folder / prompt).write_bytes(exact.to_bytes())
        lines.append({"id": voice.id, "name": voice.name, "clip": clip, "prompt": prompt, "language": voice.language,
                      "description": f"teacher {entry.speaker.split('-')[1]}: {entry.text}"})  # fmt: skip
    text = yaml.safe_dump({"voices": lines}, allow_unicode=True, sort_keys=False)
    (folder / "voices.yaml").write_text(text, encoding="utf-8")


def _clip(corpus: Corpus, voice: ShippedVoice) -> Entry:
    """Always the same speaker of that teacher, and an utterance of a good length."""
    speakers = [name for name in corpus.by_speaker if name.startswith(voice.prefix)]
    speaker = sorted(speakers)[len(speakers) // 2]
    spoken = [e for e in corpus.by_speaker[speaker] if e.language == voice.language]
    low, high = _CLIP_S
    fitting = [e for e in spoken if low <= e.samples / SAMPLE_RATE <= high] or spoken
    return max(fitting, key=lambda e: len(set(e.phones.tolist())))  # the clip that shows most phones


def exact_voice(networks: Networks, entry: Entry, waveform: Waveform) -> VoicePrompt:
    """As prepare_voice makes it, but with the teacher's own phones and times; the padding belongs to the last."""
    padded = pad_prompt(waveform)
    measured = loudness.measure(padded)
    if measured is None:
        raise PromptSilent(-np.inf)
    latent = encode(networks, padded)
    durations = entry.durations.tolist()
    frames = len(padded.samples) // SAMPLES_PER_FRAME // FRAMES_MULTIPLE * FRAMES_MULTIPLE  # as the aligner counts
    durations[-1] += frames - sum(durations)
    alignment = Alignment(tuple(entry.phones.tolist()), tuple(entry.tones.tolist()), tuple(durations))
    return assemble(alignment, latent, measured)
