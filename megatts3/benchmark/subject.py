"""What is measured: installed weights, or random ones of the official size.

Random weights cost what trained ones cost, but speak for ever or not at all.  So in `official_size` the duration
LM's last layer says one length for every phone, phones come from `FixedPhones`, and the aligner, which runs in
full, is told afterwards what it heard.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from megatts3.audio import loudness
from megatts3.audio.formats import decode
from megatts3.audio.waveform import Waveform
from megatts3.checkpoint import Capabilities, Networks, load_networks
from megatts3.config import Architecture
from megatts3.models.aligner import BEGIN_TOKEN, END_TOKEN, FIRST_TIME_TOKEN, Aligner
from megatts3.models.diffusion_transformer import DiffusionTransformer
from megatts3.models.duration_lm import DurationLM
from megatts3.models.layers.weight_norm import fold_weight_norm
from megatts3.models.wavvae import WaveVAE
from megatts3.pipeline.alignment import read_alignment
from megatts3.pipeline.voice import assemble, encode, pad_prompt, prepare_voice
from megatts3.rates import FRAMES_PER_LATENT, SAMPLE_RATE
from megatts3.text.frontend import TextFrontend
from megatts3.text.phones import NO_TONE, SILENCE

if TYPE_CHECKING:
    from megatts3.pipeline.plan import Frontend
    from megatts3.pipeline.voice import VoicePrompt

VOICE_SUFFIXES = (".flac", ".wav", ".mp3", ".ogg")
FRAMES_A_PHONE = 10  # 100 ms: phones of speech last about that long
_ENGLISH_PHONES = range(101, 145)  # SPEC 2.1
_OFFICIAL_PROMPT_S = 8.0  # 8.5 s with its tail of zeros, as the release's example prompts have
_PROMPT_PHONES = 80


@dataclass(frozen=True, eq=False)
class BenchVoice:
    """clip: the recording, for whoever prepares it again; heard: the aligner's tokens where weights are random."""

    name: str
    clip: Waveform
    prompt: VoicePrompt
    heard: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class Subject:
    """Networks in float32, how text is read, and the voices it is read in."""

    name: str
    networks: Networks
    frontend: Frontend
    voices: tuple[BenchVoice, ...]


def installed(checkpoint: Path, device: str, voices: int) -> Subject:
    """A checkpoint with the voices that ship with it."""
    networks = load_networks(checkpoint, device=device)
    clips = sorted(path for path in (checkpoint / "voices").iterdir() if path.suffix in VOICE_SUFFIXES)[:voices]
    if not clips:
        raise FileNotFoundError(f"{checkpoint / 'voices'} holds no recording")
    return Subject(
        networks.capabilities.name,
        networks,
        TextFrontend(),
        tuple(
            BenchVoice(clip.stem, (heard := decode(clip.read_bytes())), prepare_voice(networks, heard))
            for clip in clips
        ),
    )


@dataclass(frozen=True)
class FixedSegment:
    text: str
    phones: tuple[int, ...]
    tones: tuple[int, ...]


class FixedPhones:
    """Any text becomes one segment of as many phones as the number in front of it says: `100 of them`."""

    def segments(self, text: str) -> Sequence[FixedSegment]:
        count = int(text.split(maxsplit=1)[0])
        source = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))
        phones = source.choice(np.array(_ENGLISH_PHONES), size=count)
        phones[0] = SILENCE
        return (FixedSegment(text, tuple(phones.tolist()), (NO_TONE,) * count),)


def text_of_s(seconds: float, number: int) -> str:
    """A text that FixedPhones makes last about so long, different for each number."""
    return f"{max(2, round(seconds * 100 / FRAMES_A_PHONE))} phones, number {number}"


def official_size(device: str, seed: int = 0, sizes: Architecture | None = None) -> Subject:
    """Random networks of the release's sizes (or of `sizes`), and one voice."""
    networks = _random_networks(sizes or Architecture(), torch.device(device), seed)
    source = np.random.default_rng(seed)
    noise = source.standard_normal(round(_OFFICIAL_PROMPT_S * SAMPLE_RATE)).astype(np.float32)
    clip = Waveform(0.05 * noise, SAMPLE_RATE)
    padded = pad_prompt(clip)
    frames = len(padded.samples) // (SAMPLE_RATE // 100) // 8 * 8
    heard = _alignment_tokens(frames, source)
    measured = loudness.measure(padded)
    assert measured is not None
    prompt = assemble(read_alignment(heard, frames), encode(networks, padded), measured)
    voice = BenchVoice("noise", clip, prompt, heard)
    return Subject("official size, random weights", networks, FixedPhones(), (voice,))


def _alignment_tokens(frames: int, source: np.random.Generator) -> tuple[int, ...]:
    """What an aligner would say of so many frames: begin, phone, time, phone, time …, end."""
    phones = source.choice(np.array(_ENGLISH_PHONES), size=_PROMPT_PHONES).tolist()
    ends = [frames * (i + 1) // _PROMPT_PHONES for i in range(_PROMPT_PHONES)]
    body = [token for phone, end in zip(phones, ends, strict=True) for token in (phone, FIRST_TIME_TOKEN + end)]
    return (BEGIN_TOKEN, *body, END_TOKEN)


@torch.no_grad()
def _random_networks(sizes: Architecture, device: torch.device, seed: int) -> Networks:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        dit, lm = DiffusionTransformer(sizes.dit), DurationLM(sizes.duration_lm)
        aligner, wavvae = Aligner(sizes.aligner), WaveVAE(sizes.wavvae)
        for name, parameter in dit.named_parameters():
            if "norm.linear" in name or name.startswith("postnet"):  # zeros in a fresh network
                nn.init.normal_(parameter, std=0.02)
    head = next(lm.project_out_dim.children())
    assert isinstance(head, nn.Linear)
    head.weight.zero_()
    head.bias.fill_(FRAMES_A_PHONE + 1)  # a token is frames + 1; softplus changes nothing here
    fold_weight_norm(wavvae)
    for network in (dit, lm, aligner, wavvae):
        network.eval().requires_grad_(requires_grad=False).to(device)
    capabilities = Capabilities(encoder=True, g2p_network=False, name="random")
    return Networks(dit, lm, aligner, wavvae, capabilities, revision=f"random-{seed}", device=device)


def prompt_latents(subject: Subject) -> float:
    """Latents of a voice, on average."""
    return sum(voice.prompt.frames for voice in subject.voices) / FRAMES_PER_LATENT / len(subject.voices)
