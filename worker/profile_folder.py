"""Voices from a read-only folder: pairs `<name>_reference.<ext>` and `<name>_latent.npy`, watched.

A clip without a latent is a voice as well, where the weights can encode.  A file that changes makes a new version,
a file that goes takes its voice along with all audio made from it; a folder that is not there (a mount that is
late) takes nothing.  The bytes are copied to the blobs, since API and workers need not see the same mount.
Every worker watches, and registering is idempotent: at worst a clip is prepared twice.
"""

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from contract import blob_keys
from contract.errors import ErrorCode, ServiceError
from contract.fingerprint import voice_fingerprint
from contract.schemas import Voice, VoiceStatus, VoiceType
from contract.settings import StorageSettings
from contract.stores.interfaces import Stores
from contract.stores.voice_erasure import VoiceErasure
from contract.telemetry import event_log
from contract.wire_voices import voice_id_for

log = event_log(__name__)

_CLIP = re.compile(r"(?P<name>.+)_reference\.[A-Za-z0-9]+")
_SETTLED_S = 2.0  # a file written to more recently may still be on its way


@dataclass(frozen=True)
class Pair:
    """One voice of the folder.  `stamp`: sizes and times of its files, to see that they changed."""

    voice_id: str
    name: str
    clip: Path
    latent: Path | None
    stamp: tuple[float, ...]


class ProfileFolder:
    """Keeps the store's PROFILE voices equal to the folder's pairs.  For one thread."""

    def __init__(
        self,
        folder: Path,
        stores: Stores,
        settings: StorageSettings,
        *,
        send: Callable[[str], object],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`send`: ask for a voice's preparation, by its id."""
        self._folder, self._stores, self._settings = folder, stores, settings
        self._send, self._clock = send, clock
        self._erasure = VoiceErasure(stores)
        self._seen: dict[str, tuple[float, ...]] = {}  # by voice id, what was registered or refused
        self._was_there = True

    def look(self) -> None:
        """Once over the folder.  Raises ServiceError when a store is away."""
        try:
            pairs = self._pairs()
        except OSError as error:
            if self._was_there:
                log.warning("profiles_not_read", folder=self._folder, reason=error.strerror)
            self._was_there = False
            return
        self._was_there = True
        known = {voice.id: voice for voice in self._stores.voices.list() if voice.style_of is None}
        for pair in pairs.values():
            if self._seen.get(pair.voice_id) != pair.stamp or pair.voice_id not in known:
                self._register(pair, known.get(pair.voice_id))
                self._seen[pair.voice_id] = pair.stamp  # only now: a store that was away is asked again
        for voice in known.values():
            if voice.type is VoiceType.PROFILE and voice.id not in pairs:
                self._erase(voice)

    def _pairs(self) -> Mapping[str, Pair]:
        now, found = self._clock(), dict[str, Pair]()
        for clip in sorted(self._folder.iterdir()):
            match = _CLIP.fullmatch(clip.name)
            if match is None or not clip.is_file():
                continue
            latent = clip.with_name(f"{match['name']}_latent.npy")
            files = [clip, latent] if latent.is_file() else [clip]
            looks = [file.stat() for file in files]
            voice_id = voice_id_for(match["name"])
            stamp = tuple(figure for look in looks for figure in (look.st_size, look.st_mtime))
            if any(now - look.st_mtime < _SETTLED_S for look in looks):
                stamp = self._seen.get(voice_id, ())  # not gone, and not to be read yet
                if not stamp:
                    continue
            found.setdefault(voice_id, Pair(voice_id, match["name"], clip, files[1] if files[1:] else None, stamp))
        return found

    def _register(self, pair: Pair, known: Voice | None) -> None:
        if known is not None and known.type is not VoiceType.PROFILE:
            log.warning("profile_id_taken", voice=pair.voice_id, type=known.type.value)
            return
        try:
            clip = self._read(pair.clip, self._settings.max_voice_bytes)
            latent = None if pair.latent is None else self._read(pair.latent, self._settings.max_latent_bytes)
        except OSError as error:
            log.warning("profile_not_read", voice=pair.voice_id, reason=error.strerror or str(error))
            return
        fingerprint = voice_fingerprint(clip, latent)
        if known is not None and known.fingerprint == fingerprint and known.status is not VoiceStatus.FAILED:
            return
        voice = self._stored(pair, clip, latent, fingerprint)
        try:
            created = self._stores.voices.create(voice, replace=known is not None)
        except ServiceError as error:
            if error.code is not ErrorCode.VOICE_EXISTS:
                raise
            return  # another worker was first
        if known is not None and known.fingerprint != fingerprint:
            self._erasure.erase_recording(known)
            self._erasure.erase_audio(known.id)
        log.info("profile_registered", voice=created.id, version=created.version)
        self._send(created.id)

    def _stored(self, pair: Pair, clip: bytes, latent: bytes | None, fingerprint: str) -> Voice:
        folder = f"{blob_keys.voice_folder(pair.voice_id)}/profile/{fingerprint[:32]}"  # equal in every worker
        clip_blob = blob_keys.checked(f"{folder}/clip")
        latent_blob = None if latent is None else blob_keys.checked(f"{folder}/latent.npy")
        self._stores.blobs.put(clip_blob, clip)
        if latent is not None and latent_blob is not None:
            self._stores.blobs.put(latent_blob, latent)
        return Voice(
            id=pair.voice_id,
            name=pair.name,
            type=VoiceType.PROFILE,
            clip_blob=clip_blob,
            latent_blob=latent_blob,
            fingerprint=fingerprint,
        )

    def _erase(self, voice: Voice) -> None:
        self._seen.pop(voice.id, None)
        try:
            self._erasure.erase(voice)
        except ServiceError as error:
            if error.code is not ErrorCode.VOICE_NOT_FOUND:
                raise  # else another worker was first

    def _read(self, file: Path, limit_bytes: int) -> bytes:
        with file.open("rb") as source:
            data = source.read(limit_bytes + 1)
        if len(data) > limit_bytes:
            raise OSError(f"larger than {limit_bytes} bytes")
        return data


class ProfileWatch:
    """Looks at the folder every few seconds, on a thread of its own: a mount that hangs stops nothing else."""

    def __init__(self, profiles: ProfileFolder, *, every_s: float) -> None:
        self._profiles, self._every_s = profiles, every_s
        self._stopping = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="profiles", daemon=True).start()

    def stop(self) -> None:
        """Not waited for: it may hang in a mount, and writes nothing that another could not finish."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._profiles.look()
            except ServiceError as error:
                log.warning("profiles_not_kept", code=error.code)
            self._stopping.wait(self._every_s)
