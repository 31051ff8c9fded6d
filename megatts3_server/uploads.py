"""Uploaded reference audio and supplied latents: found under any of their names, measured, sniffed.

A stranger's bytes are looked at, not decoded: decoding is the worker's, in a process that may die of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from werkzeug.datastructures import FileStorage

from contract.errors import ErrorCode, FieldError, FieldProblem, ServiceError
from contract.messages import field_error
from contract.settings import StorageSettings
from megatts3_server import audio_sniff, latent_check

CLIP_NAMES = ("voice_file", "audio_file", "reference_audio", "reference_audio_file")
LATENT_NAMES = ("voice_latent", "latent_file")
FILE_NAMES = frozenset((*CLIP_NAMES, *LATENT_NAMES))


@dataclass(frozen=True)
class Reference:
    """A reference clip as uploaded, and the latent that may have come with it (a `.npy`'s bytes)."""

    clip: bytes
    latent: bytes | None = None


def reference(
    files: Mapping[str, FileStorage], settings: StorageSettings, *, encoder_available: bool
) -> Reference | None:
    """The clip and latent among the files; None when there is no clip.

    `encoder_available` False: the weights cannot encode, and a clip without latent is refused at once.
    """
    clip = _one_of(CLIP_NAMES, files, limit_bytes=settings.max_voice_bytes)
    latent = _one_of(LATENT_NAMES, files, limit_bytes=settings.max_latent_bytes)
    if clip is None:
        if latent is not None:
            raise missing_clip()
        return None
    _check_audio(clip, settings.supported_formats)
    if latent is not None:
        latent_check.check(latent)
    elif not encoder_available:
        raise ServiceError(ErrorCode.LATENT_REQUIRED)
    return Reference(clip=clip, latent=latent)


def missing_clip() -> ServiceError:
    missing = field_error(CLIP_NAMES[0], FieldProblem.MISSING)
    return ServiceError(ErrorCode.INVALID_VALUE, errors=(missing,))


def _one_of(names: tuple[str, ...], files: Mapping[str, FileStorage], *, limit_bytes: int) -> bytes | None:
    found = dict(_filled(names, files, limit_bytes=limit_bytes))
    if len(set(found.values())) > 1:
        first, *others = found
        errors = tuple(field_error(name, FieldProblem.CONFLICT, first) for name in others)
        raise ServiceError(ErrorCode.CONFLICTING_FIELDS, errors=errors)
    return next(iter(found.values()), None)


def _filled(
    names: tuple[str, ...], files: Mapping[str, FileStorage], *, limit_bytes: int
) -> Iterator[tuple[str, bytes]]:
    """Files under these names; a browser's empty file field is none."""
    for name in names:
        part = files.get(name)
        if part is None:
            continue
        data = part.stream.read(limit_bytes + 1)
        if len(data) > limit_bytes:
            error = FieldError(name, f"is larger than {limit_bytes} bytes", limit=f"{limit_bytes} bytes")
            raise ServiceError(ErrorCode.UPLOAD_TOO_LARGE, errors=(error,), params={"limit": limit_bytes})
        if data or part.filename:
            yield name, data


def _check_audio(clip: bytes, supported: tuple[str, ...]) -> None:
    found = audio_sniff.audio_format(clip)
    if found is None or found not in supported:
        limit = ", ".join(supported)
        error = FieldError(CLIP_NAMES[0], f"is not audio we can read ({limit})", limit=limit)
        raise ServiceError(ErrorCode.AUDIO_UNREADABLE, errors=(error,))
