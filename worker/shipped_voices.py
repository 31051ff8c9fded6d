"""Voices that come with a checkpoint: `<checkpoint>/voices/voices.yaml` and the clips it names.

    voices:
      - {id: default, name: Anna, clip: anna.wav, language: en, latent: anna.npy, prompt: anna.safetensors}

`latent` is wanted only where the checkpoint has no encoder; `prompt` is the voice prepared beforehand, by whoever
knows better than the aligner what is said when.  Registering is idempotent, and several workers
may do it at the same time: one writes a voice's record, and at worst two make the same prompt from it.
"""

from dataclasses import dataclass
from pathlib import Path

import yaml

from contract import blob_keys
from contract.errors import ErrorCode, ServiceError
from contract.fingerprint import voice_fingerprint
from contract.schemas import VOICE_ID, Voice, VoiceStatus, VoiceType
from contract.stores.interfaces import Stores
from contract.telemetry import event_log
from megatts3.api import VoicePrompt
from worker.voices import VoicePrompts

log = event_log(__name__)

FOLDER = "voices"
INDEX = "voices.yaml"


class ShippedVoicesError(Exception):
    """The checkpoint's voices.yaml, or a file it names, cannot be used; says which and why."""

    def __init__(self, source: Path, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.source, self.reason = source, reason


@dataclass(frozen=True)
class ShippedVoice:
    """One entry of voices.yaml, its files still on disk."""

    id: str
    name: str
    clip: Path
    latent: Path | None = None
    prompt: Path | None = None
    description: str = ""
    language: str | None = None
    style: str = "neutral"


def read_index(checkpoint: Path) -> tuple[ShippedVoice, ...]:
    """The entries, checked; none when the checkpoint ships no voices.  Raises ShippedVoicesError."""
    source = checkpoint / FOLDER / INDEX
    if not source.is_file():
        return ()
    try:
        document = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ShippedVoicesError(source, f"cannot be read: {error}") from error
    entries = document.get("voices") if isinstance(document, dict) else document
    if not isinstance(entries, list):
        raise ShippedVoicesError(source, "expected `voices:` with a list")
    return tuple(_entry(source, entry) for entry in entries)


def _entry(source: Path, entry: object) -> ShippedVoice:
    if not isinstance(entry, dict) or not {"id", "clip"} <= entry.keys():
        raise ShippedVoicesError(source, f"an entry needs `id` and `clip`: {entry!r}")
    voice_id = str(entry["id"])
    if not VOICE_ID.fullmatch(voice_id):
        raise ShippedVoicesError(source, f"{voice_id!r} cannot be a voice id")
    named = {kind: source.parent / str(entry[kind]) for kind in ("clip", "latent", "prompt") if entry.get(kind)}
    for file in named.values():
        if source.parent.resolve() not in file.resolve().parents or not file.is_file():
            raise ShippedVoicesError(source, f"{voice_id}: no file {file.name} in {source.parent}")
    return ShippedVoice(
        id=voice_id,
        name=str(entry.get("name", voice_id)),
        clip=named["clip"],
        latent=named.get("latent"),
        prompt=named.get("prompt"),
        description=str(entry.get("description", "")),
        language=None if entry.get("language") is None else str(entry["language"]),
        style=str(entry.get("style", "neutral")),
    )


def register(shipped: tuple[ShippedVoice, ...], stores: Stores, prompts: VoicePrompts, *, revision: str) -> None:
    """Bring the store to what the checkpoint ships.  A user's own voice of the same id is kept."""
    for voice in shipped:
        record = _registered(voice, stores)
        if record is None:
            continue
        if record.status is VoiceStatus.READY and record.revision == revision and _has_prompt(record, stores):
            continue
        if voice.prompt is None:
            prompts.prepare(record.id)
        else:
            prompts.adopt(record, VoicePrompt.from_bytes(voice.prompt.read_bytes()))


def _registered(shipped: ShippedVoice, stores: Stores) -> Voice | None:
    """The record to prepare; None when the voice is a user's, or another worker is at it."""
    clip = shipped.clip.read_bytes()
    latent = None if shipped.latent is None else shipped.latent.read_bytes()
    fingerprint = voice_fingerprint(clip, latent)
    known = stores.voices.get(shipped.id)
    if known is not None and known.type is not VoiceType.BUILTIN:
        return None
    if known is not None and known.fingerprint == fingerprint and known.status is not VoiceStatus.FAILED:
        return known
    folder = f"{blob_keys.voice_folder(shipped.id)}/shipped/{fingerprint[:32]}"  # equal in every worker
    clip_blob = blob_keys.checked(f"{folder}/clip")
    latent_blob = None if latent is None else blob_keys.checked(f"{folder}/latent.npy")
    stores.blobs.put(clip_blob, clip)
    if latent is not None and latent_blob is not None:
        stores.blobs.put(latent_blob, latent)
    wanted = Voice(
        id=shipped.id,
        name=shipped.name,
        type=VoiceType.BUILTIN,
        description=shipped.description,
        language=shipped.language,
        style=shipped.style,
        clip_blob=clip_blob,
        latent_blob=latent_blob,
        fingerprint=fingerprint,
    )
    try:
        return stores.voices.create(wanted, replace=known is not None)
    except ServiceError as error:
        if error.code is not ErrorCode.VOICE_EXISTS:
            raise
        return None  # another worker was first


def _has_prompt(voice: Voice, stores: Stores) -> bool:
    return voice.prompt_blob is not None and stores.blobs.exists(voice.prompt_blob)
