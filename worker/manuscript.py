"""What a job's texts were read as: segments with phones and tones, each with the key of its sound.

Made once by the worker that claims the job, kept as a blob, and read by whoever renders one of its segments.
A job of several items has the segments of all of them, one item after another.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contract.fingerprint import segment_fingerprint
from contract.records import as_json, speech_request
from contract.schemas import Job, SpeechRequest
from contract.stores.segments import OWN
from megatts3.api import VoicePrompt
from megatts3.pipeline.plan import Phonemized
from megatts3.text.pronunciation import WordSpan

_PHONE_S = 0.09  # of speech per phone, roughly: when a later segment's sound is wanted


@dataclass(frozen=True)
class ReadSegment:
    """A segment as the text front end gave it.  phones, tones: (S,)"""

    text: str
    phones: tuple[int, ...]
    tones: tuple[int, ...]
    words: tuple[WordSpan, ...] = ()


@dataclass(frozen=True)
class Line:
    """A segment at its place: `index` of `count` in item `item`.  `key`: of its sound, or this job's own."""

    item: int
    index: int
    count: int
    segment: ReadSegment
    key: str

    def seconds(self, speed: float) -> float:
        """How long it will sound, roughly."""
        return len(self.segment.phones) * _PHONE_S / speed


@dataclass(frozen=True)
class Manuscript:
    """requests: one an item, each with its seed, without its text."""

    revision: str
    requests: tuple[SpeechRequest, ...]
    lines: tuple[Line, ...]
    reference_audio_blob: str | None = None
    reference_latent_blob: str | None = None
    owner: str | None = None  # id of the API key

    def line(self, index: int, key: str) -> Line:
        """The line of this sound.  `index` says where to look first: a later reading may have put it elsewhere.

        KeyError: there is none, and nothing else may be spoken in its place.
        """
        if index < len(self.lines) and self.lines[index].key == key:
            return self.lines[index]
        for line in self.lines:
            if line.key == key:
                return line
        raise KeyError(key)

    def job(self, job_id: str, line: Line) -> Job:
        """As much of the job as it takes to render a line."""
        return Job(
            id=job_id,
            request=self.requests[line.item],
            reference_audio_blob=self.reference_audio_blob,
            reference_latent_blob=self.reference_latent_blob,
            owner=self.owner,
        )

    def to_bytes(self) -> bytes:
        return as_json(self).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Manuscript:
        found = json.loads(data)
        return cls(
            revision=found["revision"],
            requests=tuple(speech_request("", request) for request in found["requests"]),
            lines=tuple(_line(line) for line in found["lines"]),
            reference_audio_blob=found.get("reference_audio_blob"),
            reference_latent_blob=found.get("reference_latent_blob"),
            owner=found.get("owner"),
        )


def read_lines(
    job: Job,
    request: SpeechRequest,
    voice: VoicePrompt,
    *,
    item: int,
    revision: str,
    read: Callable[[str], Sequence[Phonemized]],
) -> list[Line]:
    """Read the text of one item.  `request` has its seed.  Raises what `read` raises."""
    lines: list[Line] = []
    segments = [_plain(segment) for segment in read(request.text)]
    for index, segment in enumerate(segments):
        if request.cache:
            key = segment_fingerprint(
                segment.phones,
                segment.tones,
                request,
                voice=voice.fingerprint,
                revision=revision,
                index=index,
                is_last=index == len(segments) - 1,
            )
        else:
            key = f"{OWN}{job.work_id}-{item}-{index}"
        lines.append(Line(item, index, len(segments), segment, key))
    return lines


def manuscript_of(job: Job, requests: Sequence[SpeechRequest], lines: Sequence[Line], *, revision: str) -> Manuscript:
    return Manuscript(
        revision,
        tuple(dataclasses.replace(request, text="") for request in requests),
        tuple(lines),
        reference_audio_blob=job.reference_audio_blob,
        reference_latent_blob=job.reference_latent_blob,
        owner=job.owner,
    )


def _plain(segment: Phonemized) -> ReadSegment:
    """Only what is kept, whatever class the front end has."""
    words = tuple(getattr(segment, "words", ()))
    return ReadSegment(segment.text, tuple(segment.phones), tuple(segment.tones), words)


def _line(found: dict[str, object]) -> Line:
    segment = found["segment"]
    assert isinstance(segment, dict)
    words = tuple(WordSpan(w["text"], w["first_phone"], w["last_phone"]) for w in segment["words"])
    read = ReadSegment(segment["text"], tuple(segment["phones"]), tuple(segment["tones"]), words)
    item, index, count, key = (found[name] for name in ("item", "index", "count", "key"))
    assert isinstance(item, int)
    assert isinstance(index, int)
    assert isinstance(count, int)
    return Line(item, index, count, read, str(key))
