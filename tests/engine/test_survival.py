"""What goes wrong stays as small as it is: one row, one size of batch, or one process that is started again."""

import numpy as np
import pytest
import torch

from megatts3.engine.config import EngineConfig
from megatts3.engine.engine import Engine
from megatts3.engine.forwards import PackedForward
from megatts3.engine.request import SynthesisRequest
from megatts3.engine.row_failure import is_fatal, is_out_of_memory
from megatts3.errors import DeviceLost, EngineStopped, RowFailed
from megatts3.pipeline.plan import plan
from megatts3.pipeline.synthesize import speak_segments
from megatts3.sampling.params import SamplingParams

WAIT_S = 30.0
PARAMS = SamplingParams(steps=3)
TEXTS = ("one two.", "three four five.", "six.", "seven eight nine ten.")


class AcceleratorError(RuntimeError):
    """Named as torch names what CUDA reports."""


@pytest.fixture
def memory(monkeypatch):
    """`memory(frames)`: from now on a forward of more latent frames finds too little; returns the sizes tried."""
    honest, tried = PackedForward.velocities, []

    def of_frames(limit):
        def velocities(self, rows, steps):
            frames = sum(row.latent_frames for row in rows)
            tried.append(frames)
            if frames > limit:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return honest(self, rows, steps)

        monkeypatch.setattr(PackedForward, "velocities", velocities)
        return tried

    return of_frames


def step_until_over(engine, submissions):
    for _ in range(500):
        if all(submission.is_over for submission in submissions):
            return
        engine.step()
    raise AssertionError("not finished")


def submit(engine, voice, texts):
    return [engine.submit(SynthesisRequest(text, text, voice, PARAMS)) for text in texts]


def test_too_much_at_once_is_done_in_parts_and_less_is_taken_from_then_on(tiny, frontend, voice, memory):
    engine = Engine(tiny, frontend, EngineConfig(max_rows=4), timer=lambda: 0.0)  # all are prepared at once
    engine.step()
    tried = memory(voice.latent_frames * 3)
    submissions = submit(engine, voice, TEXTS)
    step_until_over(engine, submissions)
    splits = engine.counters.splits
    del tried[:]
    again = submit(engine, voice, TEXTS)
    step_until_over(engine, again)

    assert splits >= 1
    assert engine.counters.splits == splits
    assert max(tried) <= voice.latent_frames * 3
    for text, submission in zip(TEXTS, submissions, strict=True):  # done again, nothing was drawn twice
        (found,), (expected,) = submission, speak_segments(tiny, frontend, text, voice, PARAMS)
        assert np.abs(found.waveform.pcm16().astype(int) - expected.pcm16()).max() <= 2


def test_the_row_that_alone_does_not_fit_fails_and_its_neighbours_do_not(tiny, frontend, voice, memory):
    engine = Engine(tiny, frontend, EngineConfig(max_rows=4))
    engine.step()
    texts = ("one.", "one, two, three, four, five, six, seven, eight.")
    fits, does_not = (plan(tiny, frontend, text, voice, PARAMS).segments[0].latent_frames for text in texts)
    memory(voice.latent_frames + (fits + does_not) // 2)
    small, large = submit(engine, voice, texts)
    step_until_over(engine, [small, large])

    assert isinstance(large.error, RowFailed)
    assert large.error.reason == "OutOfMemoryError"
    assert len(list(small)) == 1
    assert engine.counters.failed == 1


def test_a_lost_device_ends_the_engine_and_says_so(tiny, frontend, voice, monkeypatch):
    """The process is started again; its jobs are not failed, they go back."""
    engine = Engine(tiny, frontend)
    engine.start()
    engine.warm_up()
    assert engine.death is None

    def velocities(self, rows, steps):
        raise AcceleratorError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(PackedForward, "velocities", velocities)
    submissions = submit(engine, voice, TEXTS)
    assert all(submission.wait(WAIT_S) for submission in submissions)

    assert all(isinstance(submission.error, DeviceLost) for submission in submissions)
    assert engine.death == "AcceleratorError"
    engine.stop(timeout_s=WAIT_S)
    assert not engine.is_alive
    with pytest.raises(EngineStopped):
        submit(engine, voice, ["more."])


@pytest.mark.parametrize("stage", ["encode_text", "decode"])
def test_a_device_can_be_lost_anywhere(tiny, frontend, voice, monkeypatch, stage):
    engine = Engine(tiny, frontend)
    engine.start()
    engine.warm_up()

    def explode(*_, **__):
        raise AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(type(tiny.dit) if stage == "encode_text" else type(tiny.wavvae), stage, explode)
    (submission,) = submit(engine, voice, ["one."])

    assert submission.wait(WAIT_S)
    assert isinstance(submission.error, DeviceLost)


def test_an_engine_that_was_stopped_did_not_die(tiny, frontend):
    engine = Engine(tiny, frontend)
    engine.start()
    engine.stop(timeout_s=WAIT_S)

    assert engine.death is None


@pytest.mark.parametrize(
    ("error", "fatal", "memory_short"),
    [
        (AcceleratorError("CUDA error: unspecified launch failure"), True, False),
        (RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be …"), True, False),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling …"), True, False),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), False, True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), False, True),
        (AcceleratorError("CUDA error: out of memory"), False, True),
        (MemoryError(), False, True),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"), False, False),
        (ValueError("device-side assert"), False, False),
        (DeviceLost("AcceleratorError"), True, False),
    ],
)
def test_an_error_is_taken_for_what_it_means(error, fatal, memory_short):
    assert is_fatal(error) == fatal
    assert is_out_of_memory(error) == memory_short
