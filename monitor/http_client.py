"""How the canary reaches the API: as any client does, over HTTP."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field


class Unreachable(Exception):
    """No HTTP answer came."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class ServiceClient:
    """`url`: of the API; `api_key`: one it accepts, where it asks for one."""

    def __init__(self, url: str, *, api_key: str | None, timeout_s: float) -> None:
        self._url, self._timeout_s = url.rstrip("/"), timeout_s
        self._headers = {"Content-Type": "application/json"}
        if api_key is not None:
            self._headers["Authorization"] = f"Bearer {api_key}"

    def synthesize(self, body: Mapping[str, object], *, request_id: str) -> Answer:
        """POST /api/v1/tts/synthesize.  Raises Unreachable."""
        request = urllib.request.Request(  # noqa: S310 - our own http URL
            f"{self._url}/api/v1/tts/synthesize",
            data=json.dumps(body).encode(),
            headers={**self._headers, "X-Request-ID": request_id},
        )
        return self._ask(request)

    def _ask(self, request: urllib.request.Request) -> Answer:
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:  # noqa: S310 - as above
                return Answer(answer.status, answer.read(), dict(answer.headers.items()))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code)
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise Unreachable(type(error).__name__) from error
