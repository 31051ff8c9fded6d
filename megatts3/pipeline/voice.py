"""Reference audio → VoicePrompt: all that a request needs of a voice, computed once (SPEC 8.1)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import safetensors
import torch
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from megatts3.audio import loudness, reference_check
from megatts3.audio.resample import resample
from megatts3.audio.waveform import Waveform
from megatts3.errors import LatentInvalid, LatentRequired, PromptSilent, PromptTooShort
from megatts3.models.aligner import greedy_tokens
from megatts3.models.layers.log_mel import prompt_mel
from megatts3.pipeline.alignment import Alignment, read_alignment
from megatts3.pipeline.supplied_latent import check_latent, require_length, usable_frames
from megatts3.rates import (
    ALIGNER_SAMPLE_RATE,
    FRAMES_PER_LATENT,
    LATENT_CHANNELS,
    PROMPT_TAIL_SAMPLES,
    PROMPT_WINDOW_SAMPLES,
    SAMPLE_RATE,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from megatts3.checkpoint import Networks

MAX_PROMPT_S = reference_check.MAX_S
MIN_PROMPT_S = 1.0  # below, there is hardly a syllable to align
SILENCE_LUFS = -60.0  # a recording this quiet is a muted microphone

_FORMAT = "voice_prompt/1"


@dataclass(frozen=True, eq=False)
class VoicePrompt:
    """A voice, ready for use.

    latent:          (T, C) float32
    phones, tones:   (S,) of the prompt
    durations:       (S,) frames of 10 ms; sum = 4 T
    loudness_lufs:   of the padded reference; what is spoken gets it
    """

    latent: NDArray[np.float32]
    phones: tuple[int, ...]
    tones: tuple[int, ...]
    durations: tuple[int, ...]
    loudness_lufs: float

    def __post_init__(self) -> None:
        if self.latent.ndim != 2 or self.latent.shape[1] != LATENT_CHANNELS:
            raise ValueError(f"latent must be (T, {LATENT_CHANNELS}), not {self.latent.shape}")
        if not len(self.phones) == len(self.tones) == len(self.durations) > 0:
            raise ValueError("phones, tones and durations differ in length, or are empty")
        if sum(self.durations) != self.frames:
            raise ValueError(f"durations sum to {sum(self.durations)}, the latent has {self.frames} frames")

    @property
    def latent_frames(self) -> int:
        return len(self.latent)

    @property
    def frames(self) -> int:
        """Duration frames of the prompt span."""
        return len(self.latent) * FRAMES_PER_LATENT

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the content: two equal voices have one, whatever they are called."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """As safetensors; equal voices give equal bytes."""
        arrays: dict[str, NDArray[np.generic]] = {
            "latent": np.ascontiguousarray(self.latent, dtype=np.float32),
            "phones": np.array(self.phones, dtype=np.int64),
            "tones": np.array(self.tones, dtype=np.int64),
            "durations": np.array(self.durations, dtype=np.int64),
            "loudness_lufs": np.array([self.loudness_lufs], dtype=np.float64),
        }
        return save_safetensors(arrays, metadata={"format": _FORMAT})

    @classmethod
    def from_bytes(cls, data: bytes) -> VoicePrompt:
        """The voice that `to_bytes` wrote; ValueError for anything else."""
        try:
            header_size = int.from_bytes(data[:8], "little")
            found = json.loads(data[8 : 8 + header_size])["__metadata__"]["format"]
            arrays = load_safetensors(data)
        except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
            raise ValueError("the bytes are no stored voice") from error
        if found != _FORMAT:
            raise ValueError(f"the stored voice has the form {found!r}, not {_FORMAT!r}")
        return cls(
            latent=arrays["latent"],
            phones=tuple(arrays["phones"].tolist()),
            tones=tuple(arrays["tones"].tolist()),
            durations=tuple(arrays["durations"].tolist()),
            loudness_lufs=float(arrays["loudness_lufs"][0]),
        )


def prepare_voice(
    networks: Networks,
    waveform: Waveform,
    *,
    latent: NDArray[np.generic] | None = None,
    seed: int | None = None,
) -> VoicePrompt:
    """A voice from reference audio at any rate.

    latent: a supplied latent, preferred over encoding
    seed:   draws the latent from the encoder's posterior; None takes its mean, so the same file
        is always the same voice

    Raises PromptTooShort, PromptSilent, LatentRequired, LatentInvalid, AlignmentFailed.
    """
    given = check_reference(networks, waveform, latent=latent)
    supplied = encode(networks, given.padded, seed=seed) if given.latent is None else given.latent
    return assemble(align(networks, given.padded), supplied, given.loudness_lufs)


@dataclass(frozen=True, eq=False)
class CheckedReference:
    """Reference audio that a voice can be made of.

    padded: mono 24 kHz, at most 28 s, with the zeros of SPEC 8.1;  latent: the supplied one, if any
    """

    padded: Waveform
    latent: NDArray[np.float32] | None
    loudness_lufs: float


def check_reference(
    networks: Networks, waveform: Waveform, *, latent: NDArray[np.generic] | None = None
) -> CheckedReference:
    """What comes before any network; no tensor, so that any thread may do it.  Raises as `prepare_voice`."""
    if waveform.duration_s < MIN_PROMPT_S:
        raise PromptTooShort(waveform.duration_s, MIN_PROMPT_S)
    supplied = None
    if latent is not None:
        supplied = check_latent(latent)
        require_length(supplied, waveform.duration_s)
    elif not networks.capabilities.encoder:
        raise LatentRequired
    padded = pad_prompt(trim(resample(waveform, SAMPLE_RATE)))
    measured = loudness.measure(padded)
    if measured is None or measured < SILENCE_LUFS:
        raise PromptSilent(-np.inf if measured is None else measured)
    return CheckedReference(padded, supplied, measured)


def trim(waveform: Waveform) -> Waveform:
    """The first 28 s."""
    return Waveform(waveform.samples[: round(MAX_PROMPT_S * waveform.sample_rate)], waveform.sample_rate)


def pad_prompt(waveform: Waveform) -> Waveform:
    """Zeros up to one sample less than a whole window, then half a second of them (SPEC 8.1)."""
    length = len(waveform.samples)
    to_window = (PROMPT_WINDOW_SAMPLES - 1 - length) % PROMPT_WINDOW_SAMPLES
    padded = np.zeros(length + to_window + PROMPT_TAIL_SAMPLES, dtype=np.float32)
    padded[:length] = waveform.samples
    return Waveform(padded, waveform.sample_rate)


@torch.inference_mode()
def align(networks: Networks, padded: Waveform) -> Alignment:
    """What is spoken when, in the padded reference (SPEC 4); raises AlignmentFailed."""
    mel = aligner_mel(networks, padded)
    return read_alignment(greedy_tokens(networks.aligner, mel[None])[0], mel.shape[-1])


@torch.inference_mode()
def aligner_mel(networks: Networks, padded: Waveform) -> Tensor:
    """What the aligner hears, (n_mels, P)."""
    samples = torch.tensor(resample(padded, ALIGNER_SAMPLE_RATE).samples, dtype=torch.float32)
    return prompt_mel(samples.to(networks.device), networks.aligner.config.n_mels)


@torch.inference_mode()
def encode(
    networks: Networks, padded: Waveform, *, seed: int | None = None, noise: torch.Tensor | None = None
) -> NDArray[np.float32]:
    """(T, C): the posterior's mean, or a draw of it by `seed`, or by a given `noise` (1, T, C)."""
    device = networks.device
    posterior = networks.wavvae.encode(torch.tensor(padded.samples, device=device)[None])
    if noise is None and seed is not None:
        generator = torch.Generator("cpu").manual_seed(seed)
        frames, channels = posterior.mean.shape[1:]
        noise = torch.randn(1, channels, frames, generator=generator).transpose(1, 2)  # drawn as SPEC 7.1
    drawn = posterior.mean if noise is None else posterior.sample(noise.to(device))
    found: NDArray[np.float32] = drawn[0].float().cpu().numpy()
    return found


def assemble(alignment: Alignment, latent: NDArray[np.float32], loudness_lufs: float) -> VoicePrompt:
    """Cut latent and alignment to what both cover.

    A supplied latent may be up to two frames shorter than the alignment; then the last phones,
    which lie in the appended silence, lose what it does not cover.
    """
    frames = usable_frames(len(latent), sum(alignment.durations))
    if frames == 0:
        raise LatentInvalid("it is empty")
    phones, tones, durations = [], [], []
    left = frames
    for phone, tone, duration in zip(alignment.phones, alignment.tones, alignment.durations, strict=True):
        if left == 0 and duration > 0:
            break
        phones.append(phone)
        tones.append(tone)
        durations.append(min(duration, left))
        left -= durations[-1]
    return VoicePrompt(
        latent=latent[: frames // FRAMES_PER_LATENT].copy(),
        phones=tuple(phones),
        tones=tuple(tones),
        durations=tuple(durations),
        loudness_lufs=loudness_lufs,
    )
