"""One text of a job on its way to its file: a job has one, a job of items one an item."""

from contextlib import AbstractContextManager

from contract.schemas import JobResult, SpeechRequest
from megatts3.api import Plan, PlannedSegment, SegmentResult
from worker.joined_file import JoinedFile
from worker.keeping import Keeper, Sound, Told, predicted_duration_s
from worker.scratch import Scratch
from worker.spoken_times import times_of_plan
from worker.stages import Stages


class Part:
    """Used by one thread at a time; of its segments only what the times need stays in memory."""

    def __init__(self, request: SpeechRequest, *, fingerprint: str | None, is_uploaded: bool, scratch: Scratch) -> None:
        self._request, self._fingerprint, self._is_uploaded = request, fingerprint, is_uploaded
        self._file = JoinedFile(request, scratch=scratch)
        self._planned: list[PlannedSegment | None] = []
        self._planned_s: list[float] = []
        self._reused = 0
        self.count: int | None = None  # segments, once the first has come

    @property
    def is_whole(self) -> bool:
        return len(self._planned) == self.count

    @property
    def spoken_s(self) -> float:
        return self._file.duration_s

    def push(self, segment: SegmentResult, *, reused: bool) -> None:
        self._file.push(segment.waveform)
        self._planned.append(segment.planned)
        self._planned_s.append(segment.planned_s)
        self._reused += reused
        self.count = segment.count

    def keep(
        self,
        keeper: Keeper,
        *,
        audio_blob: str,
        times_blob: str,
        synthesis_s: float,
        stage: Stages,
        company: AbstractContextManager[None],
    ) -> JobResult:
        """The file in its place, in the cache, with its times.  VOICE_NOT_FOUND where the voice was erased.

        company: to be in while it is made, not while it is stored
        """
        keeper.require_voice(self._request, is_uploaded=self._is_uploaded)
        for name, seconds in self._file.spent_s.items():
            stage.spent(name, seconds)
        with company:
            with stage("join"):
                rest = self._file.finish_joining()
            with stage("encode"):
                file = self._file.finish(rest)
        sound = Sound(file, self._file.duration_s, self._file.sample_rate)
        planned = [each for each in self._planned if each is not None]
        times = None
        if len(planned) == len(self._planned):  # else the engine did not say how it planned a segment
            times = times_of_plan(Plan(tuple(planned)))
        told = Told(
            synthesis_s,
            segments=len(self._planned),
            reused=self._reused,
            predicted_s=predicted_duration_s(self._planned_s),
            stages_ms=stage.rounded_ms(),
            times=times,
        )
        result = keeper.keep(audio_blob, times_blob, sound, self._request, told)
        keeper.remember(self._fingerprint, sound, self._request, is_uploaded=self._is_uploaded)
        return result

    def close(self) -> None:
        self._file.close()
