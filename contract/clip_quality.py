"""What the check of a voice's recording says: codes in the voice's record, sentences for people.

The worker writes the figures and the codes; the API shows them in the reader's language.  Codes are stable.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum, unique
from typing import Any

from contract.messages import Language

_Sentences = tuple[str, str]  # English, Chinese; placeholders are figures of the check


@unique
class ClipProblem(StrEnum):
    SHORT = "short"
    QUIET = "quiet"
    OVERLOADED = "overloaded"
    CLIPPED = "clipped"
    NOISY = "noisy"
    MUCH_SILENCE = "much_silence"
    DC_OFFSET = "dc_offset"
    NARROW_BAND = "narrow_band"
    STEADY = "steady"
    OTHER_LANGUAGE = "other_language"


@unique
class ClipFix(StrEnum):
    SILENCE_TRIMMED = "silence_trimmed"
    SHORTENED = "shortened"
    LEVEL_RAISED = "level_raised"
    LEVEL_LOWERED = "level_lowered"
    DC_REMOVED = "dc_removed"


PROBLEMS: Mapping[ClipProblem, _Sentences] = {
    ClipProblem.SHORT: (
        "Only {speech_s:.1f} s of speech; three seconds or more make a better voice.",
        "有效语音仅 {speech_s:.1f} 秒;建议至少 3 秒。",
    ),
    ClipProblem.QUIET: (
        "The recording is very quiet ({loudness_lufs:.0f} LUFS).",
        "录音音量过低({loudness_lufs:.0f} LUFS)。",
    ),
    ClipProblem.OVERLOADED: ("The recording goes beyond full scale.", "录音超出满刻度。"),
    ClipProblem.CLIPPED: (
        "{clipped_share:.2%} of the samples are clipped; record at a lower level.",
        "{clipped_share:.2%} 的采样被削波;请降低录音电平。",
    ),
    ClipProblem.NOISY: (
        "The speech is only {snr_db:.0f} dB above the noise; 15 dB or more are wanted.",
        "语音仅比噪声高 {snr_db:.0f} dB;建议至少 15 dB。",
    ),
    ClipProblem.MUCH_SILENCE: (
        "{silence_share:.0%} of the recording is silence.",
        "录音中静音占 {silence_share:.0%}。",
    ),
    ClipProblem.DC_OFFSET: ("The recording is off centre (DC).", "录音存在直流偏移。"),
    ClipProblem.NARROW_BAND: (
        "Recorded at {sample_rate} samples per second; 16000 or more sound better.",
        "采样率仅 {sample_rate} Hz;建议 16000 Hz 以上。",
    ),
    ClipProblem.STEADY: (
        "The level hardly changes; is this speech, without music or noise?",
        "音量几乎不变;请确认这是没有音乐或噪声的语音。",
    ),
    ClipProblem.OTHER_LANGUAGE: (
        "It sounds like {language_heard}, not the language that was named.",
        "听起来是 {language_heard},与所填语言不符。",
    ),
}
FIXES: Mapping[ClipFix, _Sentences] = {
    ClipFix.SILENCE_TRIMMED: (
        "Silence at the ends was cut off; {start_s:.1f} to {end_s:.1f} s are used.",
        "已裁去首尾静音,使用第 {start_s:.1f} 至 {end_s:.1f} 秒。",
    ),
    ClipFix.SHORTENED: (
        "Of {duration_s:.0f} s the best part is used: {start_s:.1f} to {end_s:.1f} s.",
        "从 {duration_s:.0f} 秒中选取了最佳片段:第 {start_s:.1f} 至 {end_s:.1f} 秒。",
    ),
    ClipFix.LEVEL_RAISED: ("The level was raised.", "已提升音量。"),
    ClipFix.LEVEL_LOWERED: ("The level was lowered.", "已降低音量。"),
    ClipFix.DC_REMOVED: ("The offset was removed.", "已去除直流偏移。"),
}


def described(quality: Mapping[str, object], language: Language) -> dict[str, object]:
    """The check as a client sees it: its figures, and `problems` and `fixes` each with a sentence."""
    shown = dict(quality)
    figures = {name: value for name, value in quality.items() if value is not None}
    place = language is Language.ZH
    problems = [
        {"code": p, "message": _say(PROBLEMS, ClipProblem, p, figures, place)} for p in _codes(quality, "problems")
    ]
    fixes = [{"code": f, "message": _say(FIXES, ClipFix, f, figures, place)} for f in _codes(quality, "fixes")]
    return {**shown, "ok": not problems, "problems": problems, "fixes": fixes}


def sentences(shown: Mapping[str, object]) -> list[str]:
    """All sentences of a check that was `described`, problems first."""
    found: list[str] = []
    for name in ("problems", "fixes"):
        entries = shown[name]
        assert isinstance(entries, list)
        found.extend(entry["message"] for entry in entries)
    return found


def _codes(quality: Mapping[str, object], name: str) -> list[str]:
    codes = quality.get(name)
    return [str(code) for code in codes] if isinstance(codes, list | tuple) else []


def _say(
    table: Mapping[Any, _Sentences], kind: type[StrEnum], code: str, figures: Mapping[str, object], place: int
) -> str:
    try:
        sentence: str = table[kind(code)][place].format_map(figures)
    except (ValueError, KeyError):  # written by a newer release
        return code
    return sentence
