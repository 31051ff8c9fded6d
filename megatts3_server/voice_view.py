"""How a voice looks to a client."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from contract import clip_quality
from contract.errors import ServiceError
from contract.job_view import moment
from contract.messages import Language, describe
from contract.schemas import Voice


def voice_url(voice_id: str) -> str:
    return f"/api/v1/voices/{voice_id}"


def view(voice: Voice, *, language: Language, styles: Iterable[Voice] = ()) -> dict[str, Any]:  # Any: what JSON holds
    """`id`, `name` and `type` are always there: known clients read just these.

    styles: the voice's further recordings; `styles` lists them after the first.
    """
    seen: dict[str, Any] = {
        "id": voice.id,
        "voice_id": voice.id,
        "name": voice.name,
        "type": voice.type.value,
        "status": voice.status.value,
        "description": voice.description,
        "language": voice.language or None,
        "consent": voice.consent or None,
        "style": voice.style,
        "styles": [_recording(each, voice.id, language=language) for each in (voice, *styles)],
        "duration_s": voice.duration_s,
        "quality": clip_quality.described(voice.quality, language),
        "version": voice.version,
        "has_latent": voice.latent_blob is not None,
        "created_at": moment(voice.created_at),
        "updated_at": moment(voice.updated_at),
        "url": voice_url(voice.id),
        "audio_url": f"{voice_url(voice.id)}/audio" if voice.clip_blob is not None else None,
    }
    return seen | _error(voice, language)


def _recording(voice: Voice, voice_id: str, *, language: Language) -> dict[str, Any]:  # Any: what JSON holds
    return {
        "style": voice.style,
        "status": voice.status.value,
        "duration_s": voice.duration_s,
        "quality": clip_quality.described(voice.quality, language),
        "has_latent": voice.latent_blob is not None,
        "version": voice.version,
        "audio_url": f"{voice_url(voice_id)}/audio?style={quote(voice.style)}",
    } | _error(voice, language)


def _error(voice: Voice, language: Language) -> dict[str, str]:
    if voice.error is None:
        return {}
    error = ServiceError(voice.error.code, voice.error.detail)
    return {"error": describe(error, language), "error_code": voice.error.code.value}
