"""When a request's segments are wanted, so that nobody who asks for much delays those who ask for little.

Plain Python.  A segment is wanted when the one before it has been heard.  A client's further requests queue behind
its own: each is wanted no sooner than what that client has waiting already takes to be heard.  So ten clients with
one line each are served before one client's second line, whatever that client sends; and a client that has nothing
waiting starts afresh.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class _Share:
    wanted_from_s: float = 0.0
    requests: set[str] = field(default_factory=set)


class FairShare:
    """Changed by the engine's loop only."""

    def __init__(self) -> None:
        self._shares: dict[str, _Share] = {}

    def wanted(self, client: str, request_id: str, now_s: float, durations_s: list[float]) -> list[float]:
        """When each segment of a new request is wanted; `durations_s` is how long each will be heard.

        Requests of nobody in particular (client "") do not queue behind one another.
        """
        begin_s = now_s
        if client:
            share = self._shares.setdefault(client, _Share())
            begin_s = max(now_s, share.wanted_from_s)
            share.wanted_from_s = begin_s + sum(durations_s)
            share.requests.add(request_id)
        found = []
        for duration_s in durations_s:
            found.append(begin_s)
            begin_s += duration_s
        return found

    def over(self, client: str, request_id: str) -> None:
        """A request has ended, however it did."""
        share = self._shares.get(client)
        if share is None:
            return
        share.requests.discard(request_id)
        if not share.requests:
            del self._shares[client]
