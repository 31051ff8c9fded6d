"""The canary: every few minutes one sentence through the whole path, and a listen to what came back.

Twice in a row something else than speech, an error, or nothing at all, and readiness is off until a sentence
sounds right again.  An answer that says "not now" (busy, limited, no worker) is judged neither way: others tell
of that.  Of several monitors on one Redis, one speaks each sentence.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from contract.canary import CanaryVerdict
from contract.errors import ServiceError
from contract.settings import MonitoringSettings
from contract.stores.interfaces import CanaryBoard
from contract.telemetry import event_log, new_request_id
from monitor.hearing import complaints, measure
from monitor.http_client import ServiceClient, Unreachable

log = event_log(__name__)

SENTENCE = "早上好，今天天气不错。Good morning to all of you."
CHARACTERS = sum(character.isalnum() for character in SENTENCE)
NOT_NOW = frozenset({401, 403, 404, 422, 429, 503})  # says nothing of the speech: closed, busy, or no such voice
_EARLY = 0.9  # of an interval: two monitors' pauses never end at the same moment
TTL_INTERVALS = 3  # a verdict older than so many intervals means nothing


class Canary:
    """Speaks, listens, posts what it heard.  `worker_of`: who spoke a job, for the log."""

    def __init__(
        self,
        client: ServiceClient,
        board: CanaryBoard,
        settings: MonitoringSettings,
        *,
        worker_of: Callable[[str], str] = lambda _: "",
        clock: Callable[[], float] = time.time,
        measure_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._client, self._board, self._settings = client, board, settings
        self._worker_of, self._clock, self._measure_s = worker_of, clock, measure_s

    def run(self, stop: threading.Event) -> None:
        """Until `stop`.  The first sentence after one short interval: the service has just started."""
        pause_s = min(self._settings.health_check_interval_s, self._settings.canary_interval_s)
        while not stop.wait(pause_s):
            try:
                pause_s = self.turn()
            except ServiceError as error:  # Redis is away: others tell
                log.warning("canary_not_posted", code=error.code)
                pause_s = self._settings.health_check_interval_s

    def turn(self) -> float:
        """One sentence, if it is this monitor's turn; seconds until the next look."""
        before = self._board.read()
        interval_s = self._interval_s(before)
        is_due = before is None or self._clock() - before.at >= interval_s * _EARLY
        if is_due and self._board.take_turn(for_s=self._interval_s(None, soon=True) * _EARLY):
            verdict = self._speak(before)
            if verdict is not None:
                self._board.post(verdict, ttl_s=TTL_INTERVALS * self._settings.canary_interval_s)
                interval_s = self._interval_s(verdict)
        return interval_s

    def _interval_s(self, verdict: CanaryVerdict | None, *, soon: bool = False) -> float:
        """Long while speech is good, short while it is not."""
        settings = self._settings
        if soon or (verdict is not None and not verdict.ok):
            return min(settings.canary_interval_s, settings.health_check_interval_s)
        return settings.canary_interval_s

    def _speak(self, before: CanaryVerdict | None) -> CanaryVerdict | None:
        """Ask for the sentence, anew each time, and judge it.  None: the answer was "not now"."""
        request_id = f"canary-{new_request_id()}"
        began_s = self._measure_s()
        checks: dict[str, float] = {}
        worker = ""
        try:
            answer = self._client.synthesize(self._body(), request_id=request_id)
        except Unreachable as error:
            reason = f"unreachable: {error}"
        else:
            worker = self._worker_of(answer.headers.get("X-Job-ID", ""))
            if answer.status in NOT_NOW:
                log.info("canary_put_off", status=answer.status)
                return None
            checks, reason = _judge(answer.status, answer.body)
        verdict = CanaryVerdict(
            ok=not reason,
            at=self._clock(),
            latency_s=self._measure_s() - began_s,
            failures=0 if not reason else (0 if before is None else before.failures) + 1,
            runs=(0 if before is None else before.runs) + 1,
            reason=reason,
            worker=worker,
            checks=checks,
        )
        tell = log.info if verdict.ok else log.error
        tell("canary_heard", ok=verdict.ok, reason=reason or "speech", failures=verdict.failures, worker=worker)
        return verdict

    def _body(self) -> dict[str, object]:
        return {"text": SENTENCE, "voice_id": self._settings.canary_voice, "cache": False, "response_format": "wav"}


def _judge(status: int, body: bytes) -> tuple[dict[str, float], str]:
    """Figures, and what is wrong; an empty text when nothing is."""
    if status != 200:
        return {}, f"status {status}"
    try:
        figures = measure(body, characters=CHARACTERS)
    except ValueError as error:
        return {}, f"no audio: {error}"
    return figures, ", ".join(complaints(figures))
