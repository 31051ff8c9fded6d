"""A checkpoint beside a smaller form of it: size, speed, distance of the sound, and whether it is still understood.

Both speak the same texts with the same voices, noise and durations, so that their sound can be held sample to sample.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from megatts3.audio.waveform import Waveform
from megatts3.checkpoint import Networks, load_networks
from megatts3.checkpoint.files import DIT, weights_file
from megatts3.errors import CheckpointError
from megatts3.evaluation.edit_distance import match
from megatts3.evaluation.heard import PhoneErrors, heard_phones, phone_errors
from megatts3.pipeline.plan import plan
from megatts3.pipeline.pronounce import frontend_of
from megatts3.pipeline.synthesize import render
from megatts3.pipeline.voice import VoicePrompt
from megatts3.sampling.noise import RowNoise
from megatts3.sampling.params import SamplingParams

TEXTS = (
    "The old bridge over the river was closed for the winter.",
    "Please call me back before five, the number has not changed.",
    "A small boat carried three men and a dog across the lake.",
    "She opened the letter slowly and read it by the window.",
    "Nobody knew why the clock in the tower had stopped.",
    "Fresh bread is sold every morning at the corner of the street.",
    "今天天气很好，我们去公园走一走。",
    "请把这本书放在桌子上，谢谢。",
    "火车晚点了二十分钟，大家都在等。",
    "他每天早上六点起床，然后去跑步。",
)
_WORD = re.compile(r"[a-z']+")
_VOICES = 3
_WINDOW, _HOP = 1024, 256  # samples of 24 kHz: 43 ms, 11 ms
_FLOOR_DB = 80.0  # below a clip's loudest bin: what is quieter is not heard beside it


class Ears(Protocol):
    """A recogniser of English, where one is installed."""

    def words(self, samples: NDArray[np.floating], sample_rate: int, /) -> list[str]: ...


@dataclass(frozen=True)
class Take:
    """One sentence by one checkpoint. words: wrong and in all, where somebody could count them."""

    clip: Waveform
    rtf: float
    phones: PhoneErrors
    words: tuple[int, int] | None


@dataclass(frozen=True)
class Comparison:
    """Takes of the same sentences: before, after, and before with other noise.  sizes_bytes: of the DiT's file."""

    sizes_bytes: tuple[int, int]
    before: Sequence[Take]
    after: Sequence[Take]
    other: Sequence[Take]
    threads: int
    steps: int

    @property
    def distance_db(self) -> float:
        """Log-spectral distance between before and after, mean."""
        return _distance(self.before, self.after)

    def table(self) -> str:
        """As Markdown."""
        pair = (self.before, self.after)
        rows = [
            ("Weights of the DiT", *(f"{size / 1e6:.2f} MB" for size in self.sizes_bytes)),
            ("Real-time factor, median", *(f"{statistics.median(take.rtf for take in takes):.3f}" for takes in pair)),
            ("Phones misheard by the checkpoint's own aligner", *map(_phones, pair)),
            ("English words misheard by pocketsphinx", *map(_words_share, pair)),
            ("Log-spectral distance to the first column", "", f"{self.distance_db:.2f} dB"),
        ]
        lines = ["| | as it was | INT8 |", "|---|---|---|", *(f"| {a} | {b} | {c} |" for a, b, c in rows)]
        seconds = sum(take.clip.duration_s for take in self.before)
        conditions = (
            f"{len(self.before)} sentences, {seconds:.0f} s of speech, {self.steps} steps, {self.threads} thread(s), "
            f"the same noise and durations.  Two takes of one sentence that differ in their noise alone lie "
            f"{_distance(self.before, self.other):.2f} dB apart."
        )
        return "\n".join([*lines, "", conditions])


def compare(
    before: Path,
    after: Path,
    *,
    ears: Ears | None,
    texts: Sequence[str] = TEXTS,
    threads: int = 1,
    params: SamplingParams | None = None,
) -> Comparison:
    """Speak everything with both, turn by turn, and measure.  Speaks with the voices in `before`'s folder `voices/`.

    Raises CheckpointError where there is none.
    """
    params = params or SamplingParams(seed=7)
    first, second = load_networks(before), load_networks(after)
    voices = [VoicePrompt.from_bytes(path.read_bytes()) for path in sorted((before / "voices").glob("*.safetensors"))]
    if not voices:
        remedy = "measure nothing (--no-report), or prepare a voice"
        raise CheckpointError(str(before / "voices"), None, "a prepared voice to speak with", "none", remedy)
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        takes: tuple[list[Take], list[Take], list[Take]] = ([], [], [])
        for number, text in enumerate((texts[0], *texts)):  # the first is a warm-up
            voice = voices[number % min(_VOICES, len(voices))]
            made = [
                _take(first, networks, text, voice, params, noise_seed, ears)
                for networks, noise_seed in ((first, number), (second, number), (first, number + 1000))
            ]
            for kept, take in zip(takes, made, strict=True):
                kept.extend([take] if number else [])
    finally:
        torch.set_num_threads(threads_before)
    sizes = tuple(weights_file(DIT.folder(path)).stat().st_size for path in (before, after))
    return Comparison((sizes[0], sizes[1]), *takes, threads, params.steps)


def _take(
    judge: Networks,
    networks: Networks,
    text: str,
    voice: VoicePrompt,
    params: SamplingParams,
    noise_seed: int,
    ears: Ears | None,
) -> Take:
    """judge: whose aligner listens and who plans, the same for all."""
    (segment,) = plan(judge, frontend_of(judge), text, voice, params).segments
    noise = RowNoise.from_seed(noise_seed, voice.latent_frames + segment.latent_frames)
    started = time.perf_counter()
    clip = render(networks, voice, segment, params, noise)
    seconds = time.perf_counter() - started
    wanted = list(zip(segment.phones, segment.tones, strict=True))
    words = None
    if ears is not None and text.isascii():
        said = _WORD.findall(text.lower())
        words = match(said, ears.words(clip.samples, clip.sample_rate)).errors, len(said)
    return Take(clip, seconds / clip.duration_s, phone_errors(wanted, heard_phones(judge, clip)), words)


def log_spectral_distance(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """(L,), (L,) → dB: root mean square over bins, mean over frames (Gray and Markel 1976)."""
    spectra = [np.maximum(_decibels(x), _decibels(one).max() - _FLOOR_DB) for x in (one, other)]
    return float(np.sqrt(np.mean((spectra[0] - spectra[1]) ** 2, axis=1)).mean())


def _decibels(samples: NDArray[np.floating]) -> NDArray[np.float64]:
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), _WINDOW)[::_HOP]
    found: NDArray[np.float64] = 20 * np.log10(np.abs(np.fft.rfft(frames * np.hanning(_WINDOW), axis=1)) + 1e-12)
    return found


def _distance(one: Sequence[Take], other: Sequence[Take]) -> float:
    pairs = zip(one, other, strict=True)
    return statistics.mean(log_spectral_distance(a.clip.samples, b.clip.samples) for a, b in pairs)


def _phones(takes: Sequence[Take]) -> str:
    wrong, total = sum(take.phones.wrong for take in takes), sum(take.phones.total for take in takes)
    return f"{wrong} of {total} ({wrong / total:.1%})" if total else "none"


def _words_share(takes: Sequence[Take]) -> str:
    counted = [take.words for take in takes if take.words is not None]
    wrong, total = sum(words[0] for words in counted), sum(words[1] for words in counted)
    return f"{wrong} of {total} ({wrong / total:.1%})" if total else "not measured: pocketsphinx is not installed"
