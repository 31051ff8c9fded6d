"""The baseline: the way upstream works, built from our own networks.

One request at a time.  For each, the reference audio is prepared again: padded, measured, encoded, and aligned by
a decoder that keeps no keys and values but reads all its tokens again for every new one; the duration LM is
prompted; each segment is denoised by itself with all of its guidance branches; prompt and target are decoded
together, whole, and the prompt is cut off.  Nothing is given out before the last segment is done.

It is meant to be a fair copy, not a scapegoat: networks, weights, precision, threads, solver and steps are those
of the reference path; weight norm is folded once at load, text is read by our front end, and whatever the
reference path computes once a segment (text states, conditioning) is computed once here.  The latent is the
posterior's mean where upstream draws one, so that its sound can be held against the reference path's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from megatts3.audio import loudness
from megatts3.audio.resample import resample
from megatts3.models.aligner import BEGIN_TOKEN, END_TOKEN, MAX_NEW_TOKENS
from megatts3.models.layers.log_mel import prompt_mel
from megatts3.pipeline.alignment import read_alignment
from megatts3.pipeline.finish import finish
from megatts3.pipeline.plan import duration_prompt, plan_segment, segment_generator
from megatts3.pipeline.synthesize import denoise
from megatts3.pipeline.voice import assemble, encode, pad_prompt, trim
from megatts3.rates import ALIGNER_SAMPLE_RATE, SAMPLE_RATE, SAMPLES_PER_LATENT
from megatts3.sampling.noise import RowNoise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from megatts3.audio.waveform import Waveform
    from megatts3.benchmark.request import BenchRequest
    from megatts3.benchmark.subject import BenchVoice, Subject
    from megatts3.checkpoint import Networks
    from megatts3.models.aligner import Aligner
    from megatts3.pipeline.voice import VoicePrompt


@torch.inference_mode()
def speak(subject: Subject, request: BenchRequest) -> list[Waveform]:
    """All segments of a request."""
    networks = subject.networks
    voice = prepare(networks, request.voice)
    segments = subject.frontend.segments(request.text)
    prompt = duration_prompt(networks, voice)
    spoken = []
    for index, segment in enumerate(segments):
        draws = segment_generator(request.params.seed, index)
        planned = plan_segment(networks, prompt, segment, index, len(segments), request.params, draws)
        noise = RowNoise(draws, voice.latent_frames + planned.latent_frames)
        latent = denoise(networks, voice, planned, request.params, noise)
        samples = decode_whole(networks, latent, voice)
        spoken.append(finish(samples, pitch=planned.pitch, loudness_lufs=voice.loudness_lufs))
    return spoken


def prepare(networks: Networks, voice: BenchVoice) -> VoicePrompt:
    """The recording → a voice, as if it had never been seen."""
    padded = pad_prompt(trim(resample(voice.clip, SAMPLE_RATE)))
    measured = loudness.measure(padded)
    assert measured is not None, "a clip of the benchmark is not silent"
    samples = torch.tensor(resample(padded, ALIGNER_SAMPLE_RATE).samples, dtype=torch.float32)
    mel = prompt_mel(samples.to(networks.device), networks.aligner.config.n_mels)
    tokens = tokens_without_cache(networks.aligner, mel[None], told=voice.heard)
    return assemble(read_alignment(tokens, mel.shape[-1]), encode(networks, padded), measured)


@torch.inference_mode()
def tokens_without_cache(aligner: Aligner, mel: Tensor, told: Sequence[int] | None = None) -> tuple[int, ...]:
    """The aligner's tokens for one clip, every pass over all tokens so far.

    mel:  (1, n_mels, P)
    told: with random weights the words are put into its mouth: as many passes, these tokens
    """
    audio = aligner.encoder(mel)
    tokens = [BEGIN_TOKEN]
    for _ in range(min(MAX_NEW_TOKENS, aligner.config.n_text_ctx) if told is None else len(told) - 1):
        so_far = torch.tensor([tokens], device=mel.device)
        logits, _ = aligner.decoder(so_far, aligner.decoder.start(audio))
        likeliest = int(logits[0, -1].argmax())
        tokens.append(likeliest if told is None else told[len(tokens)])
        if tokens[-1] == END_TOKEN:
            break
    return tuple(tokens)


def decode_whole(networks: Networks, latent: Tensor, voice: VoicePrompt) -> Tensor:
    """Samples of the target, decoded with the prompt in front and cut off it (SPEC 8.3). latent: (T, C)"""
    prompt = torch.tensor(voice.latent, device=networks.device)
    whole = torch.cat((prompt, latent.to(networks.device)[len(prompt) :]))
    samples: Tensor = networks.wavvae.decode(whole[None])[0]
    return samples[len(prompt) * SAMPLES_PER_LATENT :]
