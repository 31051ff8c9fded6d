import numpy as np
import pytest

from megatts3.audio.waveform import Waveform
from megatts3.evaluation.cases import Counts, choose_cases
from megatts3.evaluation.durations import duration_errors
from megatts3.evaluation.speakers import Column, speakers
from megatts3.pipeline.voice import prepare_voice
from megatts3.rates import FRAMES_MULTIPLE, SAMPLE_RATE
from megatts3.sampling.params import SamplingParams
from megatts3.text.frontend import TextFrontend
from megatts3.text.phones import is_speech
from megatts3.training.data import Corpus
from megatts3.training.voices import exact_voice


@pytest.fixture(scope="module")
def heldout(corpus_folder):
    return Corpus(corpus_folder, "heldout")


@pytest.fixture(scope="module")
def case(heldout):
    return choose_cases(heldout, Counts.quick(1))[0]


@pytest.fixture(scope="module")
def made(networks, heldout):
    return speakers(networks, heldout, TextFrontend(), SamplingParams(steps=1))


def test_the_teacher_is_the_corpus(made, heldout, case):
    spoken = made[Column.TEACHER](case)
    assert np.array_equal(spoken.waveform.samples, heldout.audio(case.target))
    assert [phone for phone, _ in spoken.asked] == case.target.phones.tolist()


def test_the_codec_gives_back_as_many_samples_as_it_took(made, case):
    spoken = made[Column.CODEC](case)
    assert len(spoken.waveform.samples) == case.target.samples
    assert spoken.took_s > 0


@pytest.mark.parametrize("column", [Column.EXACT, Column.PRODUCT])
def test_the_checkpoint_is_asked_for_what_the_front_end_reads(made, case, column):
    spoken = made[column](case)
    assert [phone for phone, _ in spoken.asked] == list(TextFrontend().segments(case.target.text)[0].phones)
    assert spoken.waveform.duration_s > 0.5


def test_an_exact_voice_differs_from_a_prepared_one_in_its_alignment_alone(networks, heldout, case):
    clip = Waveform(heldout.audio(case.prompt), SAMPLE_RATE)
    exact, prepared = exact_voice(networks, case.prompt, clip), prepare_voice(networks, clip)
    shared = min(exact.latent_frames, prepared.latent_frames)
    assert np.allclose(exact.latent[:shared], prepared.latent[:shared], atol=1e-4)
    assert exact.loudness_lufs == prepared.loudness_lufs
    assert abs(exact.frames - prepared.frames) <= FRAMES_MULTIPLE  # of the padding at the end
    assert exact.phones == tuple(case.prompt.phones.tolist())
    assert exact.durations[:-1] == tuple(case.prompt.durations.tolist()[:-1])


def test_planned_durations_are_compared_phone_by_phone(networks, heldout, case):
    voice = exact_voice(networks, case.prompt, Waveform(heldout.audio(case.prompt), SAMPLE_RATE))
    found = duration_errors(networks, case.target, voice, SamplingParams())
    spoken = [
        frames for phone, frames in zip(case.target.phones, case.target.durations, strict=True) if is_speech(phone)
    ]
    assert found.phones == len(spoken)
    assert found.teacher_s == pytest.approx(sum(spoken) / 100)
    assert abs(found.planned_s - found.teacher_s) * 1000 <= found.absolute_ms + 1e-6
