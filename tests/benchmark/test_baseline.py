"""The baseline works as upstream does, and says what the reference path says."""

import dataclasses

import numpy as np
import pytest
import torch

from megatts3.benchmark import baseline
from megatts3.benchmark.request import requests
from megatts3.benchmark.subject import BenchVoice, Subject, official_size, text_of_s
from megatts3.config import load_architecture
from megatts3.models.aligner import greedy_tokens
from megatts3.models.layers.log_mel import prompt_mel
from megatts3.pipeline.synthesize import speak_segments
from megatts3.pipeline.voice import prepare_voice
from megatts3.sampling.params import SamplingParams
from scripts.make_tiny_checkpoint import TINY


def subject_of(networks, frontend, clip):
    return Subject("tiny", networks, frontend, (BenchVoice("noise", clip, prepare_voice(networks, clip)),))


def test_it_sounds_as_the_reference_path_does(tiny, frontend, recording):
    subject = subject_of(tiny, frontend, recording(2.0))
    (asked,) = requests(subject, ["a line.\nand another."], subject.voices, SamplingParams(steps=2, seed=4))
    spoken = baseline.speak(subject, asked)
    expected = list(speak_segments(subject.networks, frontend, asked.text, asked.voice.prompt, asked.params))
    assert len(spoken) == 2
    for ours, theirs in zip(spoken, expected, strict=True):
        np.testing.assert_allclose(ours.samples, theirs.samples, atol=1e-4)


def test_its_aligner_says_without_a_cache_what_it_says_with_one(tiny, recording):
    samples = torch.tensor(recording(2.0, rate=16_000).samples)
    mel = prompt_mel(samples, tiny.aligner.config.n_mels)[None]
    with torch.inference_mode():
        assert baseline.tokens_without_cache(tiny.aligner, mel) == greedy_tokens(tiny.aligner, mel)[0]


def test_its_aligner_reads_all_tokens_again_for_every_new_one(tiny, recording, monkeypatch):
    seen = []
    forward = tiny.aligner.decoder.forward
    monkeypatch.setattr(
        tiny.aligner.decoder, "forward", lambda tokens, state: seen.append(tokens.shape[1]) or forward(tokens, state)
    )
    baseline.prepare(tiny, BenchVoice("noise", recording(2.0), None))
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) > 10


def test_random_networks_of_a_given_size_last_as_long_as_they_are_asked_to():
    sizes = load_architecture(TINY)
    official = dataclasses.replace(sizes, wavvae=dataclasses.replace(sizes.wavvae, decoder="hifigan"))
    subject = official_size("cpu", sizes=official)
    (voice,) = subject.voices
    assert voice.prompt.latent_frames == 212  # 8.5 s, as of the release's own example prompts
    (asked,) = requests(subject, [text_of_s(10.0, 1)], subject.voices, SamplingParams(steps=1))
    assert asked.expected_s == pytest.approx(10.0, rel=0.1)
    (spoken,) = baseline.speak(subject, asked)
    assert spoken.duration_s == pytest.approx(asked.expected_s)
    (expected,) = speak_segments(subject.networks, subject.frontend, asked.text, voice.prompt, asked.params)
    np.testing.assert_allclose(spoken.samples, expected.samples, atol=1e-4)
