"""Clips' measures → figures, and which of them must reach what."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from megatts3.evaluation.clip import ClipMeasures
from megatts3.evaluation.durations import DurationErrors
from megatts3.evaluation.speakers import Column
from megatts3.evaluation.speed import Speed

_Aggregate = Callable[[Sequence[ClipMeasures]], float | None]


@dataclass(frozen=True)
class Target:
    """must, aim: bounds of the judged value, upper ones unless `is_floor`."""

    must: float
    aim: float
    is_floor: bool = False

    def reached(self, value: float, bound: float) -> bool:
        return value >= bound if self.is_floor else value <= bound


@dataclass(frozen=True)
class Figure:
    """One line of the report.

    values: by column, where it was measured; judged: the value that the target is for; unit: as printed
    """

    name: str
    unit: str
    values: Mapping[Column, float]
    judged: float | None = None
    target: Target | None = None

    @property
    def must_reached(self) -> bool | None:
        """None where there is nothing to judge."""
        if self.target is None or self.judged is None:
            return None
        return self.target.reached(self.judged, self.target.must)

    @property
    def aim_reached(self) -> bool | None:
        if self.target is None or self.judged is None:
            return None
        return self.target.reached(self.judged, self.target.aim)


@dataclass(frozen=True)
class Evaluation:
    """Everything that was measured, of one checkpoint."""

    checkpoint: str
    revision: str
    settings: Mapping[str, object]
    clips: Sequence[ClipMeasures]
    durations: Sequence[DurationErrors] = field(default=())
    speeds: Sequence[Speed] = field(default=())

    @property
    def figures(self) -> list[Figure]:
        return [*_of_clips(self.clips), *_of_plans(self.durations), *_of_speeds(self.speeds)]

    @property
    def missed(self) -> list[Figure]:
        """Figures that must be better."""
        return [figure for figure in self.figures if figure.must_reached is False]


def _of_clips(clips: Sequence[ClipMeasures]) -> Iterable[Figure]:
    def values(measure: _Aggregate, of: Sequence[ClipMeasures]) -> dict[Column, float]:
        found = {column: measure([c for c in of if c.column is column]) for column in Column}
        return {column: value for column, value in found.items() if value is not None}

    def judged(
        name: str, unit: str, measure: _Aggregate, of: Sequence[ClipMeasures], column: Column, target: Target
    ) -> Figure:
        found = values(measure, of)
        return Figure(name, unit, found, found.get(column), target)

    words = values(word_error, clips)
    teacher, product = words.get(Column.TEACHER), words.get(Column.PRODUCT)
    yield Figure("English word error rate", "%", words)
    yield Figure(
        "… as a multiple of the teacher's",
        "x",
        {column: value / teacher for column, value in words.items()} if teacher else {},
        product / teacher if teacher and product is not None else None,
        Target(1.5, 1.15),
    )
    chinese = [clip for clip in clips if clip.language == "zh"]
    english = [clip for clip in clips if clip.language == "en"]
    yield judged("Aligner's phone errors on the teacher", "%", phone_error, clips, Column.TEACHER, Target(0.08, 0.03))
    yield judged("Phone errors by that aligner, Chinese", "%", phone_error, chinese, Column.PRODUCT, Target(0.2, 0.08))
    yield judged("Phone errors by that aligner, English", "%", phone_error, english, Column.PRODUCT, Target(0.2, 0.08))
    yield judged(
        "Tones right, of Chinese phones right", "%", tones_right, chinese, Column.PRODUCT, Target(0.8, 0.95, True)
    )
    voices = len({clip.speaker for clip in clips})
    yield judged(f"Right voice of {voices}", "%", right_voice, clips, Column.PRODUCT, Target(0.8, 0.97, True))
    yield judged("F0 median off the reference voice's", "%", f0_error, clips, Column.PRODUCT, Target(0.12, 0.05))
    yield judged("Clips silent, clipped, not finite or missing", "%", unsound, clips, Column.PRODUCT, Target(0.0, 0.0))


def word_error(clips: Sequence[ClipMeasures]) -> float | None:
    counted = [clip.words for clip in clips if clip.words is not None]
    return _share((words.wrong for words in counted), (words.total for words in counted))


def phone_error(clips: Sequence[ClipMeasures]) -> float | None:
    return _share((clip.phones.wrong for clip in clips), (clip.phones.total for clip in clips))


def tones_right(clips: Sequence[ClipMeasures]) -> float | None:
    return _share((clip.phones.tones_right for clip in clips), (clip.phones.tones_total for clip in clips))


def right_voice(clips: Sequence[ClipMeasures]) -> float | None:
    return _share((clip.is_right_voice for clip in clips), (1 for _ in clips))


def f0_error(clips: Sequence[ClipMeasures]) -> float | None:
    found = [clip.f0_error for clip in clips if clip.f0_error is not None]
    return statistics.mean(found) if found else None


def unsound(clips: Sequence[ClipMeasures]) -> float | None:
    return _share((not clip.health.is_sound for clip in clips), (1 for _ in clips))


def _of_plans(plans: Sequence[DurationErrors]) -> Iterable[Figure]:
    phones = sum(plan.phones for plan in plans)
    if not phones:
        return
    off = sum(plan.absolute_ms for plan in plans) / phones
    pace = sum(plan.planned_s for plan in plans) / sum(plan.teacher_s for plan in plans)
    yield Figure("Planned phone lengths off the teacher's, mean", "ms", {Column.PRODUCT: off})
    yield Figure("Planned speech time over the teacher's", "x", {Column.PRODUCT: pace})


def _of_speeds(speeds: Sequence[Speed]) -> Iterable[Figure]:
    for speed in speeds:
        target = Target(0.5, 0.15) if speed.threads == 2 else None
        judged = speed.rtf if target else None
        threads = "1 thread" if speed.threads == 1 else f"{speed.threads} threads"
        yield Figure(f"Real-time factor, {threads}", "", {Column.PRODUCT: speed.rtf}, judged, target)


def _share(parts: Iterable[float], wholes: Iterable[float]) -> float | None:
    whole = sum(wholes)
    return sum(parts) / whole if whole else None
