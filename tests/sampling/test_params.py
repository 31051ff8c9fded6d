import math

import pytest

from megatts3.errors import InvalidParameter
from megatts3.sampling.params import RANGES, SamplingParams


def test_the_defaults_are_the_releases():
    params = SamplingParams()
    assert (params.steps, params.text_guidance, params.speaker_guidance) == (32, 1.6, 2.5)
    assert (params.grid, params.solver) == ("sway", "overshoot")


@pytest.mark.parametrize("field", RANGES)
def test_both_ends_of_a_range_are_allowed_and_what_lies_beyond_is_named(field):
    minimum, maximum = RANGES[field]
    beyond = 1 if field in {"steps", "seed"} else 0.01
    SamplingParams(**{field: minimum})
    SamplingParams(**{field: maximum})
    for value in (minimum - beyond, maximum + beyond):
        with pytest.raises(InvalidParameter) as caught:
            SamplingParams(**{field: value})
        error = caught.value
        assert (error.field, error.value, error.minimum, error.maximum) == (field, value, minimum, maximum)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 3.5),
        ("steps", True),
        ("steps", "32"),
        ("seed", 1.0),
        ("speed", math.nan),
        ("speed", math.inf),
        ("pitch", None),
        ("grid", "log"),
        ("solver", "heun"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_its_field(field, value):
    with pytest.raises(InvalidParameter) as caught:
        SamplingParams(**{field: value})
    assert caught.value.field == field
    assert field in str(caught.value)


def test_whole_numbers_do_for_fractional_fields():
    assert SamplingParams(speed=2, text_guidance=1).speed == 2
