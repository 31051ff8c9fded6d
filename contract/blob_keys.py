"""How blobs are named.  A key is `<area>/<name>[/<name>…]`; users' file names are never part of one."""

from __future__ import annotations

import re

from contract.schemas import AudioFormat
from contract.voice_styles import MARK, voice_of

AREAS = ("voices", "jobs", "temp", "cache")  # one folder each, see settings.StorageSettings
_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")  # no leading dot: no ".."
_MAX_PARTS = 5


def checked(key: str) -> str:
    """The key itself; ValueError when it is not one of ours.  Also checks a prefix for delete_tree."""
    parts = key.split("/")
    if parts[0] not in AREAS or not 2 <= len(parts) <= _MAX_PARTS:
        raise ValueError(f"not a blob key: {key[:100]!r}")
    if not all(_PART.fullmatch(part) for part in parts):
        raise ValueError(f"not a blob key: {key[:100]!r}")
    return key


def voice_folder(voice_id: str) -> str:
    """Of a voice with all its styles."""
    return checked(f"voices/{voice_of(voice_id)}")


def voice_clip(voice_id: str, recording_id: str) -> str:
    """The reference audio as it was uploaded; `recording_id` from schemas.new_id("rec"), fresh per upload."""
    return checked(f"{voice_folder(voice_id)}/{recording_id}/clip")


def voice_latent(voice_id: str, recording_id: str) -> str:
    """The supplied latent, `.npy`."""
    return checked(f"{voice_folder(voice_id)}/{recording_id}/latent.npy")


def voice_prompt(voice_id: str, version: int) -> str:
    """The computed VoicePrompt, of a voice or of one of its styles (`<voice>~<style>`)."""
    _, _, style = voice_id.partition(MARK)
    made_from = f"{style}-v{version}" if style else f"v{version}"
    return checked(f"{voice_folder(voice_id)}/{made_from}/prompt.safetensors")


def job_folder(job_id: str) -> str:
    return checked(f"jobs/{job_id}")


def job_reference(job_id: str) -> str:
    """Reference audio uploaded with a request."""
    return checked(f"jobs/{job_id}/reference")


def job_latent(job_id: str) -> str:
    """Latent uploaded with a request."""
    return checked(f"jobs/{job_id}/latent.npy")


def job_audio(job_id: str, audio_format: AudioFormat) -> str:
    """The answer."""
    return checked(f"jobs/{job_id}/audio.{audio_format.value}")


def job_timestamps(job_id: str) -> str:
    return checked(f"jobs/{job_id}/timestamps.json")


def job_items(job_id: str) -> str:
    """What a job of items is to say: the requests, in order."""
    return checked(f"jobs/{job_id}/items.json")


def item_audio(job_id: str, index: int, audio_format: AudioFormat) -> str:
    """The answer to one item."""
    return checked(f"{item_folder(job_id, index)}/audio.{audio_format.value}")


def item_timestamps(job_id: str, index: int) -> str:
    return checked(f"{item_folder(job_id, index)}/timestamps.json")


def item_folder(job_id: str, index: int) -> str:
    return checked(f"jobs/{job_id}/items/{index}")


def job_manuscript(job_id: str) -> str:
    """What the job's texts were read as."""
    return checked(f"jobs/{job_id}/manuscript.json")


def segment_audio(key: str, token: int) -> str:
    """One finished segment; a second rendering has a name of its own, so that erasing the first cannot hit it."""
    return checked(f"cache/segments/{key[-2:]}/{key}.{token}.flac")
