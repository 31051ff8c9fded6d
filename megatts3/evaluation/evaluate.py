"""One checkpoint against one corpus: speak, measure, gather."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from megatts3.audio.waveform import Waveform
from megatts3.checkpoint import Networks
from megatts3.errors import MegaTTS3Error
from megatts3.evaluation.cases import Case, Counts, choose_cases
from megatts3.evaluation.clip import ClipMeasures, Judge
from megatts3.evaluation.durations import DurationErrors, duration_errors
from megatts3.evaluation.figures import Evaluation
from megatts3.evaluation.recognise import Recogniser
from megatts3.evaluation.speakers import Column, speakers
from megatts3.evaluation.speed import Speed, measure_speed
from megatts3.pipeline.plan import Frontend
from megatts3.rates import SAMPLE_RATE
from megatts3.sampling.params import SamplingParams
from megatts3.training.data import Corpus
from megatts3.training.voices import exact_voice

_SPEED_SENTENCES = 3

Keep = Callable[[ClipMeasures, Waveform | None], None]


@dataclass(frozen=True)
class Question:
    """What is to be found out.

    columns: who is judged; of a checkpoint without an encoder only the aligner is, on the teacher
    """

    corpus: Path
    counts: Counts = field(default_factory=Counts)
    params: SamplingParams = field(default_factory=SamplingParams)
    columns: Sequence[Column] = tuple(Column)
    speed_threads: Sequence[int] = (1, 2)


def evaluate(
    networks: Networks, frontend: Frontend, recogniser: Recogniser, question: Question, *, keep: Keep
) -> Evaluation:
    """Carry it out; `keep` is given each clip as soon as it is measured."""
    training, heldout = Corpus(question.corpus, "train"), Corpus(question.corpus, "heldout")
    cases = choose_cases(heldout, question.counts)
    columns = tuple(question.columns) if networks.capabilities.encoder else (Column.TEACHER,)
    judge = Judge(networks, training, heldout, recogniser)
    voices = speakers(networks, heldout, frontend, question.params)
    clips = []
    for number, case in enumerate(cases):
        for column in columns:
            waveform: Waveform | None = None
            try:
                spoken = voices[column](case)
            except MegaTTS3Error as error:
                clip = judge.missing(number, column, case, f"{type(error).__name__}: {error}")
            else:
                waveform = spoken.waveform
                clip = judge.measure(number, column, case, spoken)
            clips.append(clip)
            keep(clip, waveform)
    reads = Column.PRODUCT in columns or Column.EXACT in columns
    return Evaluation(
        checkpoint=networks.capabilities.name,
        revision=networks.revision,
        settings={
            "sentences": len(cases),
            "voices": len({case.target.speaker for case in cases}),
            "steps": question.params.steps,
            "text_guidance": question.params.text_guidance,
            "speaker_guidance": question.params.speaker_guidance,
            "seed": question.params.seed,
            "device": str(networks.device),
        },
        clips=clips,
        durations=list(_plans(networks, heldout, cases, question.params)) if reads else (),
        speeds=list(_speeds(networks, frontend, heldout, cases, question)) if reads else (),
    )


def _plans(
    networks: Networks, heldout: Corpus, cases: Sequence[Case], params: SamplingParams
) -> Iterator[DurationErrors]:
    for case in cases:
        voice = exact_voice(networks, case.prompt, Waveform(heldout.audio(case.prompt), SAMPLE_RATE))
        yield duration_errors(networks, case.target, voice, params)


def _speeds(
    networks: Networks, frontend: Frontend, heldout: Corpus, cases: Sequence[Case], question: Question
) -> Iterator[Speed]:
    """Sentences and a prompt of middling length."""
    middle = statistics.median(case.target.samples for case in cases)
    near = sorted(cases, key=lambda case: abs(case.target.samples - middle))[:_SPEED_SENTENCES]
    prompt = near[0].prompt
    voice = exact_voice(networks, prompt, Waveform(heldout.audio(prompt), SAMPLE_RATE))
    for threads in question.speed_threads:
        texts = [case.target.text for case in near]
        yield measure_speed(networks, frontend, voice, texts, question.params, threads)
