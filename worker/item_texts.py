"""The items of a batch on their way: each has its own file, its own state in the record, and fails alone."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from contract.errors import ErrorCode, ErrorInfo, ServiceError
from contract.schemas import Item, ItemState, Job, JobProgress, JobResult, JobStatus
from contract.telemetry import event_log
from megatts3.errors import MegaTTS3Error
from worker.fan_out import Taken
from worker.part import Part
from worker.translate import to_error_info

log = event_log(__name__)

Note = Callable[[Mapping[int, ItemState]], None]


class ItemTexts:
    """See joining.Texts.

    states: how the items stand, ended ones of a former attempt among them
    new_part: of one item;  keep: puts a whole part in its place;  note: writes states into the record
    ended: told of the sum;  at: to be in while the segment of that place is joined
    """

    def __init__(
        self,
        job: Job,
        items: tuple[Item, ...],
        states: Mapping[int, ItemState],
        *,
        new_part: Callable[[Item], Part],
        keep: Callable[[int, Part], JobResult],
        note: Note,
        ended: Callable[[JobResult], None],
        spent_s: Callable[[], float],
        at: Callable[[int], AbstractContextManager[None]],
    ) -> None:
        self._job, self._items, self._states = job, items, dict(states)
        self._new_part, self._keep, self._note = new_part, keep, note
        self._ended, self._spent_s, self._at = ended, spent_s, at
        self._parts: dict[int, Part] = {}
        self._changed: dict[int, ItemState] = {}

    def push(self, taken: Taken) -> bool:
        item = taken.item
        try:
            if item not in self._parts:
                self._parts[item] = self._new_part(self._items[item])
                self._set(item, ItemState(JobStatus.RUNNING))
            part = self._parts[item]
            with self._at(taken.place):
                part.push(taken.segment, reused=taken.reused)
            if part.is_whole:
                self._set(item, ItemState(JobStatus.DONE, result=self._keep(item, part)))
                self._parts.pop(item).close()
        except (ServiceError, MegaTTS3Error) as error:
            info = own_failure(error)
            self.failed(item, info)
            return False
        return True

    def failed(self, item: int, error: ErrorInfo) -> None:
        log.info("item_failed", job=self._job.id, item=item, code=error.code)
        self._set(item, ItemState(JobStatus.FAILED, error=error))
        if (part := self._parts.pop(item, None)) is not None:
            part.close()

    def looked(self) -> None:
        changed, self._changed = self._changed, {}
        if changed:
            self._note(changed)

    def end(self) -> JobResult:
        """The sum of its items; the first one's error where every one failed."""
        self.looked()
        results = [state.result for state in self._states.values() if state.result is not None]
        if not results:
            errors = (self._states[n].error for n in sorted(self._states))
            first = next((error for error in errors if error is not None), None)
            assert first is not None, "an item ends done or failed"
            raise ServiceError(first.code, first.detail)
        predicted = [result.predicted_s for result in results if result.predicted_s is not None]
        result = JobResult(
            audio_blob="",
            audio_format=self._job.request.response_format,
            duration_s=sum(result.duration_s for result in results),
            sample_rate=results[0].sample_rate,
            size_bytes=sum(result.size_bytes for result in results),
            synthesis_s=self._spent_s(),
            segments=sum(result.segments for result in results),
            segments_reused=sum(result.segments if result.from_cache else result.segments_reused for result in results),
            predicted_s=sum(predicted) if len(predicted) == len(results) else None,
        )
        self._ended(result)
        return result

    def progress(self) -> JobProgress:
        states = tuple(self._states.values())
        finished_s = sum(state.result.duration_s for state in states if state.result is not None)
        return JobProgress(
            audio_s=finished_s + sum(part.spoken_s for part in tuple(self._parts.values())),
            items_done=sum(state.status is JobStatus.DONE for state in states),
            items_failed=sum(state.status is JobStatus.FAILED for state in states),
        )

    def close(self) -> None:
        for part in self._parts.values():
            part.close()

    def _set(self, item: int, state: ItemState) -> None:
        self._states[item] = self._changed[item] = state


def own_failure(error: Exception) -> ErrorInfo:
    """What an item failed with.  Raises it where it says nothing about the item: the store is away."""
    info = to_error_info(error)
    if info.code is ErrorCode.STORE_UNAVAILABLE:
        raise error
    return info
