"""The aligner's tokens → phones of the reference audio with their durations (SPEC 4.5)."""

from collections.abc import Sequence
from dataclasses import dataclass

from megatts3.errors import AlignmentFailed, UnknownPhone
from megatts3.models.aligner import END_TOKEN, FIRST_TIME_TOKEN
from megatts3.text.phones import decode_codes

BACKWARD_FRAMES_MAX = 8  # an end time this little before the one before it is taken as equal to it


@dataclass(frozen=True)
class Alignment:
    """Phones (S,), tones (S,) and durations (S,) in frames; the durations sum to the prompt's frames."""

    phones: tuple[int, ...]
    tones: tuple[int, ...]
    durations: tuple[int, ...]


def read_alignment(tokens: Sequence[int], prompt_frames: int) -> Alignment:
    """Make sense of what the aligner said.

    tokens:        with the begin and the end token
    prompt_frames: what the durations are made to sum to
    raises:        AlignmentFailed where the tokens are not pairs of a phone and a later time
    """
    body = tokens[1:-1]
    if len(tokens) < 2 or tokens[-1] != END_TOKEN:
        raise AlignmentFailed("no end was found")
    if not body or len(body) % 2:
        raise AlignmentFailed(f"{len(body)} tokens are no pairs of phone and time")
    try:
        phones, tones = decode_codes(body[::2])
    except UnknownPhone as error:
        raise AlignmentFailed(f"{error.phone} is no phone") from error
    durations, before = [], 0
    for token in body[1::2]:
        end = token - FIRST_TIME_TOKEN
        if end < before - BACKWARD_FRAMES_MAX or token < FIRST_TIME_TOKEN:
            raise AlignmentFailed(f"end time {end} follows {before}")
        end = max(end, before)
        durations.append(end - before)
        before = end
    return Alignment(phones, tones, _fit(durations, prompt_frames))


def _fit(durations: Sequence[int], total: int) -> tuple[int, ...]:
    """Make durations sum to ``total``: the last grows, or all shrink by one in turn, never below zero."""
    fitted = list(durations)
    excess = sum(fitted) - total
    if excess < 0:
        fitted[-1] -= excess
    while excess > 0:
        for i, duration in enumerate(fitted):
            if duration > 0 and excess > 0:
                fitted[i] -= 1
                excess -= 1
    return tuple(fitted)
