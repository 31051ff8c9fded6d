"""Three branches → one velocity (SPEC 6.4, step 5)."""

from collections.abc import Mapping
from enum import IntEnum

from torch import Tensor


class Branch(IntEnum):
    """One of the evaluations of a row; the value is its place among the three."""

    FULL = 0  # text and voice
    TEXT_ONLY = 1
    UNCONDITIONAL = 2


def branch_weights(text_guidance: float, speaker_guidance: float) -> Mapping[Branch, float]:
    """The guided velocity as a weighted sum; the weights add up to 1."""
    return {
        Branch.FULL: speaker_guidance,
        Branch.TEXT_ONLY: text_guidance - speaker_guidance,
        Branch.UNCONDITIONAL: 1.0 - text_guidance,
    }


def needed_branches(text_guidance: float, speaker_guidance: float) -> tuple[Branch, ...]:
    """Branches that count; the others need not be computed."""
    weights = branch_weights(text_guidance, speaker_guidance)
    return tuple(branch for branch in Branch if weights[branch] != 0.0)


def guide(
    full: Tensor,
    text_only: Tensor,
    unconditional: Tensor,
    text_guidance: float | Tensor,
    speaker_guidance: float | Tensor,
) -> Tensor:
    """From no condition towards the text, then from any voice towards this one.

    full, text_only, unconditional: velocities of one shape, (…, T, C)
    text_guidance, speaker_guidance: numbers, or one per row, (B, 1, 1)
    """
    towards_text = text_guidance * (text_only - unconditional)
    towards_speaker = speaker_guidance * (full - text_only)
    return unconditional + towards_text + towards_speaker
