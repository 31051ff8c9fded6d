"""What a caller may choose about one synthesis."""

import dataclasses
import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from megatts3.errors import InvalidParameter
from megatts3.sampling.solver import SOLVERS
from megatts3.sampling.time_grid import GRIDS


class Range(NamedTuple):
    """Both ends are allowed."""

    minimum: float
    maximum: float


RANGES = MappingProxyType(
    {
        "steps": Range(1, 100),
        "text_guidance": Range(0.0, 5.0),
        "speaker_guidance": Range(0.0, 10.0),
        "seed": Range(-(2**63), 2**63 - 1),
        "speed": Range(0.25, 4.0),
        "pitch": Range(0.5, 2.0),
    }
)


@dataclass(frozen=True)
class SamplingParams:
    """Everything that shapes the sound besides text and voice. Defaults are the release's (SPEC 8.5).

    text_guidance:    how far to go from no text towards the text (near 1 an accent is kept)
    speaker_guidance: how far to go from any voice towards this one
    seed:             of all noise; the same request with the same seed sounds the same
    speed:            divides durations
    pitch:            factor on the rendered sound's pitch; the network has no such input

    Raises InvalidParameter, with field and range, where a value is out of range or of another kind.
    """

    steps: int = 32
    text_guidance: float = 1.6
    speaker_guidance: float = 2.5
    seed: int = 0
    speed: float = 1.0
    pitch: float = 1.0
    grid: str = "sway"
    solver: str = "overshoot"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in RANGES:
                _check(field.name, value, whole=field.type is int)
            elif value not in (GRIDS if field.name == "grid" else SOLVERS):
                raise InvalidParameter(field.name, value)


def _check(name: str, value: object, *, whole: bool) -> None:
    minimum, maximum = RANGES[name]
    kinds = int if whole else int | float
    if not isinstance(value, kinds) or isinstance(value, bool) or not math.isfinite(value):
        raise InvalidParameter(name, value)
    if not minimum <= value <= maximum:
        raise InvalidParameter(name, value, minimum, maximum)
