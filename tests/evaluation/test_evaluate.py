"""The whole chain on tiny networks: what it says is noise, that everything is measured is the point."""

import numpy as np
import pytest

from megatts3.checkpoint import load_networks
from megatts3.errors import AlignmentFailed
from megatts3.evaluation import evaluate as chain
from megatts3.evaluation.cases import Counts
from megatts3.evaluation.evaluate import Question, evaluate
from megatts3.evaluation.pictures import draw_spectrograms
from megatts3.evaluation.speakers import Column
from megatts3.sampling.params import SamplingParams
from megatts3.text.frontend import TextFrontend
from scripts.make_tiny_checkpoint import make_tiny_checkpoint

pytestmark = pytest.mark.timeout(600)  # seconds on an idle machine; a busy one shares its cores


class Deaf:
    """A recogniser that hears one word in everything."""

    def words(self, samples, sample_rate):
        return ["bus"] if len(samples) and sample_rate else []


@pytest.fixture(scope="module")
def question(corpus_folder):
    return Question(corpus_folder, Counts(1, 2, 1), SamplingParams(steps=1), speed_threads=(1,))


@pytest.fixture(scope="module")
def kept():
    return {}


@pytest.fixture(scope="module")
def found(networks, question, kept):
    def keep(clip, waveform):
        kept[clip.case, clip.column] = waveform

    return evaluate(networks, TextFrontend(), Deaf(), question, keep=keep)


def test_every_case_is_measured_for_every_column(found, kept):
    assert {(clip.case, clip.column) for clip in found.clips} == {(case, c) for case in range(4) for c in Column}
    assert kept.keys() == {(clip.case, clip.column) for clip in found.clips}


def test_every_figure_has_a_value_but_tones_where_no_phone_is_right(found):
    assert [figure.name for figure in found.figures if not figure.values] == ["Tones right, of Chinese phones right"]
    assert all(np.isfinite(list(figure.values.values())).all() for figure in found.figures)


def test_the_teacher_is_recognised_as_the_voice_it_is(found):
    assert all(clip.is_right_voice for clip in found.clips if clip.column is Column.TEACHER)
    assert all(clip.f0_error < 0.05 for clip in found.clips if clip.column is Column.TEACHER)


def test_noise_misses_what_it_must_reach(found):
    assert {"Aligner's phone errors on the teacher"} < {figure.name for figure in found.missed}


def test_speed_is_measured_on_the_threads_that_were_asked_for(found):
    assert [speed.threads for speed in found.speeds] == [1]
    assert found.speeds[0].rtf > 0


def test_without_an_encoder_the_aligner_alone_is_judged(tmp_path, question):
    networks = load_networks(make_tiny_checkpoint(tmp_path / "tiny", encoder=False))
    found = evaluate(networks, TextFrontend(), Deaf(), question, keep=lambda *_: None)
    assert {clip.column for clip in found.clips} == {Column.TEACHER}
    assert not found.speeds


def test_a_clip_that_fails_counts_as_all_wrong(networks, question, monkeypatch):
    def refuse(_):
        raise AlignmentFailed("no end was found")

    monkeypatch.setattr(chain, "speakers", lambda *_: {Column.PRODUCT: refuse})
    asked = Question(question.corpus, question.counts, question.params, (Column.PRODUCT,), ())
    found = evaluate(networks, TextFrontend(), Deaf(), asked, keep=lambda *_: None)
    assert all(clip.failure.startswith("AlignmentFailed") for clip in found.clips)
    assert all(clip.phones.wrong == clip.phones.total > 0 for clip in found.clips)
    assert {"Right voice of 3", "Clips silent, clipped, not finite or missing"} <= {f.name for f in found.missed}


def test_spectrograms_are_drawn_of_whatever_was_said(kept, tmp_path):
    path = tmp_path / "pictures" / "spectrogram-en.png"
    draw_spectrograms(path, "one sentence", {str(column): kept[0, column] for column in Column})
    assert path.read_bytes().startswith(b"\x89PNG")
