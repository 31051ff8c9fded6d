"""Voices that are made together come out as they do alone, a little at a time, and fail alone."""

import numpy as np
import pytest

from megatts3.audio.formats import encode
from megatts3.engine.engine import Engine
from megatts3.engine.request import SynthesisRequest
from megatts3.engine.voice_making import VoiceMaking, VoiceOrder
from megatts3.errors import AlignmentFailed, DeviceLost, EngineStopped, PromptTooShort
from megatts3.models.aligner import GreedyTokens
from megatts3.pipeline.voice import check_reference, prepare_voice
from megatts3.sampling.params import SamplingParams

SECONDS = (3.0, 1.2, 2.0, 2.9)


@pytest.fixture(scope="module")
def clips(recording):
    return [recording(seconds, seed=n) for n, seconds in enumerate(SECONDS)]


def make(tiny, clips):
    making = VoiceMaking(tiny)
    orders = [VoiceOrder(check_reference(tiny, clip)) for clip in clips]
    for order in orders:
        making.add(order)
    calls = 0
    while not making.is_idle:
        making.advance()
        calls += 1
    return [order.answer for order in orders], calls


def test_voices_made_together_are_what_they_are_alone(tiny, clips):
    answers, calls = make(tiny, clips)

    for clip, answer in zip(clips, answers, strict=True):
        found, alone = answer.result(timeout=0), prepare_voice(tiny, clip)
        assert (found.phones, found.tones, found.durations) == (alone.phones, alone.tones, alone.durations)
        np.testing.assert_array_equal(found.latent, alone.latent)
        assert found.fingerprint == alone.fingerprint
    assert calls > 2 * len(clips)


def test_a_clip_that_was_nearly_heard_otherwise_is_asked_alone(tiny, clips, monkeypatch):
    batches = []
    honest = GreedyTokens.__init__

    def note(self, aligner, mel, *rest):
        batches.append(len(mel))
        honest(self, aligner, mel, *rest)

    monkeypatch.setattr(GreedyTokens, "__init__", note)
    monkeypatch.setattr(GreedyTokens, "close_calls", property(lambda self: [False, True, False, False]))
    answers, _ = make(tiny, clips)

    assert batches == [4, 1]
    assert answers[1].result(timeout=0).fingerprint == prepare_voice(tiny, clips[1]).fingerprint


def test_the_tokens_of_a_clip_do_not_depend_on_its_neighbours(tiny, clips):
    from megatts3.engine.voice_making import _batch
    from megatts3.pipeline.voice import aligner_mel

    mels = [aligner_mel(tiny, check_reference(tiny, clip).padded) for clip in clips]
    together = GreedyTokens(tiny.aligner, *_batch(mels), max_new_tokens=40)
    while not together.is_done:
        together.step()
    for mel, tokens, is_close in zip(mels, together.tokens, together.close_calls, strict=True):
        alone = GreedyTokens(tiny.aligner, mel[None], max_new_tokens=40)
        while not alone.is_done:
            alone.step()
        assert is_close or alone.tokens[0] == tokens


def test_what_is_wrong_with_one_recording_is_told_to_its_caller_alone(tiny, clips, monkeypatch):
    from megatts3.engine import voice_making

    honest = voice_making.read_alignment
    lengths = iter([False, True, False, False])

    def read(tokens, frames):
        if next(lengths):
            raise AlignmentFailed("no end was found")
        return honest(tokens, frames)

    monkeypatch.setattr(voice_making, "read_alignment", read)
    answers, _ = make(tiny, clips)

    assert [answer.exception(timeout=0) is None for answer in answers] == [True, False, True, True]
    assert isinstance(answers[1].exception(), AlignmentFailed)


def test_rows_run_while_a_voice_is_made(tiny, frontend, voice, clips, monkeypatch):
    """A slice at a time: with a clock that ticks at every look, one token a step."""
    ticks = iter(range(10**6))
    engine = Engine(tiny, frontend, timer=lambda: float(next(ticks)))
    spoken = engine.submit(SynthesisRequest("a", "hello there.", voice, SamplingParams(steps=12)))
    for _ in range(2):
        engine.step()
    order = VoiceOrder(check_reference(tiny, clips[0]))
    engine._mailbox.put(order)
    before = spoken.progress.steps_done
    for _ in range(4):
        engine.step()

    assert spoken.progress.steps_done == before + 4
    assert not order.answer.done()
    while not order.answer.done():
        engine.step()
    assert order.answer.result().fingerprint == prepare_voice(tiny, clips[0]).fingerprint


def test_a_stopped_engine_makes_no_more_voices(tiny, frontend, clips):
    ticks = iter(range(10**6))  # every look at the clock is a second: a slice is one piece of the making
    engine = Engine(tiny, frontend, timer=lambda: float(next(ticks)))
    order = VoiceOrder(check_reference(tiny, clips[0]))
    engine._mailbox.put(order)
    engine.step()
    engine.stop()

    assert order.answer.done()
    with pytest.raises(EngineStopped):
        order.answer.result()


def test_a_lost_device_ends_the_making_too(tiny, frontend, clips, monkeypatch):
    def explode(self):
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(GreedyTokens, "step", explode)
    engine = Engine(tiny, frontend)
    engine.start()

    with pytest.raises((EngineStopped, DeviceLost)):
        engine.prepare_voice(encode(clips[0], "wav"))
    assert engine.death == "RuntimeError"


def test_a_recording_too_short_never_reaches_the_loop(tiny, frontend, recording):
    engine = Engine(tiny, frontend)
    engine.start()
    try:
        with pytest.raises(PromptTooShort):
            engine.prepare_voice(encode(recording(0.5), "wav"))
    finally:
        engine.stop()
