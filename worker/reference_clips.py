"""From reference audio as it was sent to a VoicePrompt, and what the check of the clip says.

The same for a registered voice and for a clip that came with a request: one recording is one voice, either way.
"""

from dataclasses import dataclass

from contract.clip_quality import ClipFix, ClipProblem
from contract.errors import ErrorCode, ServiceError
from megatts3.api import VoicePrompt, encode, parse_latent
from megatts3.audio.formats import decode, readable_formats
from megatts3.audio.reference_check import ReferenceCheck, check_reference
from megatts3.audio.waveform import Waveform
from megatts3.errors import UnsupportedFormat
from megatts3.text.phones import is_chinese_phone, is_english_phone
from worker.speech_engine import SpeechEngine

_CLEARLY = 0.75  # share of one language's phones that makes a clip one language
_FEW_PHONES = 8  # too few to say

Quality = dict[str, object]


@dataclass(frozen=True)
class PreparedClip:
    prompt: VoicePrompt
    quality: Quality  # see contract/clip_quality.py


def prepare_clip(
    engine: SpeechEngine, clip: bytes, latent: bytes | None, *, language: str | None = None
) -> PreparedClip:
    """Check, mend, prepare.  Raises ServiceError(AUDIO_UNREADABLE) and what the library raises.

    A clip whose latent was supplied is checked, too, but left alone.  `language`: what the clip is said to be in.
    """
    supplied = None if latent is None else parse_latent(latent)
    mended, check = check_reference(decoded(clip), may_change=supplied is None)
    data = encode(mended, "wav") if check.fixes else clip
    prompt = engine.prepare_voice(data, latent=supplied)
    return PreparedClip(prompt, quality_of(check, prompt, language=language))


def quality_of_clip(clip: bytes, prompt: VoicePrompt, *, language: str | None = None) -> Quality:
    """What the check says of a clip whose prompt was made elsewhere; nothing is changed."""
    _, check = check_reference(decoded(clip), may_change=False)
    return quality_of(check, prompt, language=language)


def decoded(clip: bytes) -> Waveform:
    """AUDIO_UNREADABLE for a known container that this worker has no decoder for: m4a without PyAV."""
    try:
        return decode(clip)
    except UnsupportedFormat as error:
        readable = ", ".join(readable_formats())
        detail = f"{error.audio_format} cannot be read here; {readable} can"
        raise ServiceError(ErrorCode.AUDIO_UNREADABLE, detail) from error


def quality_of(check: ReferenceCheck, prompt: VoicePrompt, *, language: str | None) -> Quality:
    """Figures and codes; a figure that could not be measured is None."""
    heard = language_heard(prompt)
    problems = [ClipProblem(problem.value).value for problem in check.problems]
    if heard is not None and language and language.lower().partition("-")[0] != heard:
        problems.append(ClipProblem.OTHER_LANGUAGE.value)
    return {
        "duration_s": round(check.duration_s, 3),
        "sample_rate": check.sample_rate,
        "peak": round(check.peak, 4),
        "loudness_lufs": rounded(check.loudness_lufs, 1),
        "speech_s": round(check.speech_s, 2),
        "silence_share": round(check.silence_share, 3),
        "noise_dbfs": rounded(check.noise_dbfs, 1),
        "snr_db": rounded(check.snr_db, 1),
        "clipped_share": round(check.clipped_share, 5),
        "dc_offset": round(check.dc_offset, 4),
        "start_s": round(check.start_s, 2),
        "end_s": round(check.end_s, 2),
        "language_heard": heard,
        "problems": problems,
        "fixes": [ClipFix(fix.value).value for fix in check.fixes],
    }


def language_heard(prompt: VoicePrompt) -> str | None:
    """`zh` or `en` where the aligner heard clearly one of them."""
    chinese = sum(is_chinese_phone(phone) for phone in prompt.phones)
    english = sum(is_english_phone(phone) for phone in prompt.phones)
    for name, count in (("zh", chinese), ("en", english)):
        if chinese + english >= _FEW_PHONES and count >= _CLEARLY * (chinese + english):
            return name
    return None


def rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
