"""What is wrong with a recording that is to lend its voice, and the mending that can be done without guessing.

Mended: DC, silence around the speech, a level far off, more than 28 s (the best stretch is kept).  Only told:
clipping, noise, too little speech, a narrow band.  A recording in order is handed back as it came, so its prompt
is that of the untouched file.  Not here: what the words are (pipeline/alignment.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum, unique

import numpy as np
from numpy.typing import NDArray

from megatts3.audio import loudness
from megatts3.audio.waveform import Waveform

MAX_S = 28.0  # SPEC 8.1: what a prompt may last
GOOD_SPEECH_S = 3.0  # below, little is learnt of a voice; the published demos use 3 to 24 s
FRAME_S = 0.02
QUIET_LUFS, SILENT_LUFS = -35.0, -60.0
TARGET_LUFS = -23.0  # EBU R128
PEAK_AFTER = 0.95
NOISY_SNR_DB = 15.0
CLIPPED_SHARE = 0.001
DC_SHARE = 0.005  # of full scale
SILENCE_SHARE = 0.5
NARROW_RATE = 16_000  # samples per second: below, half of the aligner's band is missing
STEADY_DB = 6.0  # speech swings by far more between syllables and pauses

_MARGIN_S = 0.15  # kept around the speech: it holds the onset of soft consonants
_TOO_MUCH_S = 0.5  # silence at an end that is cut down to the margin
_PAUSE_S = 0.12  # a pause fit to cut in
_FLOOR_DB = -100.0
_SPEECH_BELOW_LOUD_DB = (6.0, 30.0)  # where the line between speech and pause may lie below the loud frames
_PLATEAU, _PLATEAU_LENGTH, _PLATEAU_STEP = 0.98, 4, 1e-4  # samples in a row at one height near the peak
_CLIPPED_COSTS = 100.0  # samples of speech a clipped one outweighs
_LOW_PEAK = 0.1  # below, a plateau is dither, not clipping

Samples = NDArray[np.float64]
Flags = NDArray[np.bool_]


@unique
class Problem(StrEnum):
    """What is wrong, mended or not."""

    SHORT = "short"
    QUIET = "quiet"
    OVERLOADED = "overloaded"
    CLIPPED = "clipped"
    NOISY = "noisy"
    MUCH_SILENCE = "much_silence"
    DC_OFFSET = "dc_offset"
    NARROW_BAND = "narrow_band"
    STEADY = "steady"


@unique
class Fix(StrEnum):
    """What was done about it."""

    SILENCE_TRIMMED = "silence_trimmed"
    SHORTENED = "shortened"
    LEVEL_RAISED = "level_raised"
    LEVEL_LOWERED = "level_lowered"
    DC_REMOVED = "dc_removed"


@dataclass(frozen=True)
class ReferenceCheck:
    """Measures of the recording as it came.

    speech_s:         seconds in frames louder than the pauses
    noise_dbfs, snr_db:  of the pauses, and of the speech above them; None where there is no pause to hear it in
    clipped_share:    of the samples, in plateaus near the peak
    start_s, end_s:   the stretch that is used
    """

    duration_s: float
    sample_rate: int
    peak: float
    loudness_lufs: float | None
    speech_s: float
    silence_share: float
    noise_dbfs: float | None
    snr_db: float | None
    clipped_share: float
    dc_offset: float
    start_s: float
    end_s: float
    problems: tuple[Problem, ...]
    fixes: tuple[Fix, ...]


def check_reference(waveform: Waveform, *, may_change: bool = True) -> tuple[Waveform, ReferenceCheck]:
    """The recording as it should be used, and what was found.

    may_change: False only looks, for a recording whose latent was supplied: the two must stay in step.
    Silence comes back as it is; saying so is the prompt's business (PromptSilent).
    """
    samples = waveform.samples.astype(np.float64)
    offset = float(samples.mean()) if len(samples) else 0.0
    centred = samples - offset
    level_db = frame_levels_db(centred, waveform.sample_rate)
    is_speech = speech_frames(level_db)
    clipped = plateau_samples(samples)
    noise_dbfs, snr_db = _noise(level_db, is_speech)
    loud = loudness.measure(Waveform(centred, waveform.sample_rate))
    start, end = _stretch(is_speech, clipped, waveform.sample_rate, may_change=may_change and loud is not None)
    found = ReferenceCheck(
        duration_s=waveform.duration_s,
        sample_rate=waveform.sample_rate,
        peak=waveform.peak,
        loudness_lufs=loud,
        speech_s=float(is_speech.sum()) * FRAME_S,
        silence_share=1.0 - float(is_speech.mean()) if len(is_speech) else 1.0,
        noise_dbfs=noise_dbfs,
        snr_db=snr_db,
        clipped_share=float(clipped.mean()) if len(clipped) else 0.0,
        dc_offset=offset,
        start_s=start / waveform.sample_rate,
        end_s=end / waveform.sample_rate,
        problems=(),
        fixes=(),
    )
    problems = _problems(found, level_db)
    if not may_change:
        return waveform, replace(found, problems=problems)
    spoken_from, spoken_to = without_silence(is_speech, len(samples), waveform.sample_rate)
    is_long = (spoken_to - spoken_from) / waveform.sample_rate > MAX_S
    mended, fixes = _mended(waveform, found, problems, is_long=is_long)
    return mended, replace(found, problems=problems, fixes=fixes)


def frame_levels_db(samples: Samples, sample_rate: int) -> Samples:
    """(frames,) RMS in dBFS of frames of 20 ms; a rest shorter than a frame is left out."""
    size = _frame_size(sample_rate)
    whole = samples[: len(samples) // size * size].reshape(-1, size)
    power = np.mean(whole**2, axis=1)
    levels: Samples = 10.0 * np.log10(np.maximum(power, 10.0 ** (_FLOOR_DB / 10.0)))
    return levels


def speech_frames(level_db: Samples) -> Flags:
    """(frames,) louder than the line half-way between the quiet and the loud frames."""
    if len(level_db) == 0:
        return np.zeros(0, dtype=np.bool_)
    quiet, loud = np.percentile(level_db, [10, 95])
    nearest, farthest = _SPEECH_BELOW_LOUD_DB
    line = float(np.clip((quiet + loud) / 2, loud - farthest, loud - nearest))
    flags: Flags = level_db > max(line, _FLOOR_DB)
    return flags


def plateau_samples(samples: Samples) -> Flags:
    """(L,) samples that stand at one height near the peak, several in a row, or lie beyond full scale."""
    flags = np.abs(samples) > 1.0
    peak = float(np.max(np.abs(samples), initial=0.0))
    if peak < _LOW_PEAK or len(samples) < _PLATEAU_LENGTH:
        return flags
    still = (np.abs(np.diff(samples)) < _PLATEAU_STEP * peak) & (np.abs(samples[1:]) >= _PLATEAU * peak)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], still, [False])).astype(np.int8)))
    for begin, stop in zip(edges[::2], edges[1::2], strict=True):
        if stop - begin + 1 >= _PLATEAU_LENGTH:
            flags[begin : stop + 1] = True
    return flags


def without_silence(is_speech: Flags, length: int, sample_rate: int) -> tuple[int, int]:
    """First and last sample of the speech with a margin; an end with little silence stays as it is."""
    size = _frame_size(sample_rate)
    spoken = np.flatnonzero(is_speech)
    if len(spoken) == 0:
        return 0, length
    margin, too_much = round(_MARGIN_S * sample_rate), round(_TOO_MUCH_S * sample_rate)
    first, last = int(spoken[0]) * size, (int(spoken[-1]) + 1) * size
    start = max(0, first - margin) if first > too_much else 0
    end = min(length, last + margin) if length - last > too_much else length
    return start, end


def best_window(is_speech: Flags, clipped: Flags, start: int, end: int, sample_rate: int) -> tuple[int, int]:
    """The best 28 s between two samples: most speech and least clipping, from one pause to another."""
    size, most = _frame_size(sample_rate), round(MAX_S * sample_rate)
    cuts = sorted({start, end, *(cut for cut in _pauses(is_speech, size) if start < cut < end)})
    heard = np.zeros(len(clipped) + 1)
    spoken = np.repeat(is_speech, size)[: len(clipped)]
    heard[1 : len(spoken) + 1] = spoken
    heard = np.cumsum(heard)
    broken = np.concatenate(([0], np.cumsum(clipped)))
    best, best_score = (start, min(end, start + most)), -np.inf
    for begin in cuts:
        fitting = [cut for cut in cuts if begin + most // 2 <= cut <= begin + most]
        stop = fitting[-1] if fitting else min(end, begin + most)
        if stop - begin < most // 2:
            continue
        score = float(heard[stop] - heard[begin]) - _CLIPPED_COSTS * float(broken[stop] - broken[begin])
        if score > best_score:
            best, best_score = (begin, stop), score
    return best


def _frame_size(sample_rate: int) -> int:
    return max(1, round(FRAME_S * sample_rate))


def _pauses(is_speech: Flags, size: int) -> list[int]:
    """Samples in the middle of each pause that is long enough to cut in."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], ~is_speech, [False])).astype(np.int8)))
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return [int(begin + stop) // 2 * size for begin, stop in pairs if (stop - begin) * FRAME_S >= _PAUSE_S]


def _stretch(is_speech: Flags, clipped: Flags, sample_rate: int, *, may_change: bool) -> tuple[int, int]:
    """First and last sample that is used."""
    length, most = len(clipped), round(MAX_S * sample_rate)
    if not may_change:
        return 0, min(length, most)
    start, end = without_silence(is_speech, length, sample_rate)
    return (start, end) if end - start <= most else best_window(is_speech, clipped, start, end, sample_rate)


def _noise(level_db: Samples, is_speech: Flags) -> tuple[float | None, float | None]:
    """Level of the pauses, and how far the speech is above them."""
    pauses, speech = level_db[~is_speech], level_db[is_speech]
    if len(pauses) * FRAME_S < _PAUSE_S or len(speech) == 0:
        return None, None
    noise_power = float(np.median(10.0 ** (pauses / 10.0)))  # the median: the tails of words are in the pauses, too
    speech_power = float(np.mean(10.0 ** (speech / 10.0)))
    clean_power = max(speech_power - noise_power, 10.0 ** (_FLOOR_DB / 10.0))
    return 10.0 * np.log10(noise_power), 10.0 * np.log10(clean_power / noise_power)


def _problems(found: ReferenceCheck, level_db: Samples) -> tuple[Problem, ...]:
    swing_db = float(np.ptp(np.percentile(level_db, [10, 95]))) if len(level_db) else 0.0
    told = {
        Problem.SHORT: found.speech_s < GOOD_SPEECH_S,
        Problem.QUIET: found.loudness_lufs is not None and found.loudness_lufs < QUIET_LUFS,
        Problem.OVERLOADED: found.peak > 1.0,
        Problem.CLIPPED: found.clipped_share > CLIPPED_SHARE,
        Problem.NOISY: found.snr_db is not None and found.snr_db < NOISY_SNR_DB,
        Problem.MUCH_SILENCE: found.silence_share > SILENCE_SHARE,
        Problem.DC_OFFSET: abs(found.dc_offset) > DC_SHARE,
        Problem.NARROW_BAND: found.sample_rate < NARROW_RATE,
        Problem.STEADY: swing_db < STEADY_DB,
    }
    return tuple(problem for problem, is_so in told.items() if is_so)


def _mended(
    waveform: Waveform, found: ReferenceCheck, problems: tuple[Problem, ...], *, is_long: bool
) -> tuple[Waveform, tuple[Fix, ...]]:
    samples, fixes = waveform.samples.astype(np.float64), []
    if Problem.DC_OFFSET in problems:
        samples = samples - found.dc_offset
        fixes.append(Fix.DC_REMOVED)
    start, end = round(found.start_s * found.sample_rate), round(found.end_s * found.sample_rate)
    if end - start < len(samples):
        fixes.append(Fix.SHORTENED if is_long else Fix.SILENCE_TRIMMED)
        samples = samples[start:end]
    peak = float(np.max(np.abs(samples), initial=0.0))
    if peak > 1.0:
        samples = samples * (PEAK_AFTER / peak)
        fixes.append(Fix.LEVEL_LOWERED)
    elif Problem.QUIET in problems and found.loudness_lufs is not None and found.loudness_lufs > SILENT_LUFS:
        gain = 10.0 ** ((TARGET_LUFS - found.loudness_lufs) / 20.0)
        samples = samples * min(gain, PEAK_AFTER / max(peak, 1e-9))
        fixes.append(Fix.LEVEL_RAISED)
    if not fixes:
        return waveform, ()
    return Waveform(samples.astype(np.float32), waveform.sample_rate), tuple(fixes)
