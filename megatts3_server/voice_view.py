"""How a voice looks to a client."""

from typing import Any

from contract.errors import ServiceError
from contract.messages import Language, describe
from contract.schemas import Voice
from megatts3_server.job_view import moment


def voice_url(voice_id: str) -> str:
    return f"/api/v1/voices/{voice_id}"


def view(voice: Voice, *, language: Language) -> dict[str, Any]:  # Any: what JSON holds
    """`id`, `name` and `type` are always there: known clients read just these."""
    seen: dict[str, Any] = {
        "id": voice.id,
        "voice_id": voice.id,
        "name": voice.name,
        "type": voice.type.value,
        "status": voice.status.value,
        "description": voice.description,
        "language": voice.language,
        "style": voice.style,
        "duration_s": voice.duration_s,
        "quality": dict(voice.quality),
        "version": voice.version,
        "has_latent": voice.latent_blob is not None,
        "created_at": moment(voice.created_at),
        "updated_at": moment(voice.updated_at),
        "url": voice_url(voice.id),
        "audio_url": f"{voice_url(voice.id)}/audio" if voice.clip_blob is not None else None,
    }
    if voice.error is not None:
        seen["error"] = describe(ServiceError(voice.error.code, voice.error.detail), language)
        seen["error_code"] = voice.error.code.value
    return seen
