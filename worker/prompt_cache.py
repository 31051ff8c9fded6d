"""Voice prompts in memory, least recently used out first, within a number of bytes."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from megatts3.api import VoicePrompt


@dataclass(frozen=True)
class _Held:
    prompt: VoicePrompt
    size_bytes: int


@dataclass
class _Making:
    """A key's lock and how many wait for it; changed under the cache's own lock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    waiting: int = 0


class PromptCache:
    """Safe from many threads; a prompt that several ask for at once is made once."""

    def __init__(self, *, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._making: dict[str, _Making] = {}
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        with self._lock:
            return sum(held.size_bytes for held in self._held.values())

    def get(self, key: str, make: Callable[[], tuple[VoicePrompt, int]]) -> VoicePrompt:
        """The prompt under `key`; else `make` gives it and its size in bytes.  Raises what `make` raises."""
        with self._lock:
            if (found := self._find(key)) is not None:
                return found
            making = self._making.setdefault(key, _Making())
            making.waiting += 1
        try:
            with making.lock:  # the others wait for the first, then find its prompt
                with self._lock:
                    if (found := self._find(key)) is not None:
                        return found
                prompt, size_bytes = make()
                with self._lock:
                    self._keep(key, _Held(prompt, size_bytes))
                return prompt
        finally:
            with self._lock:
                making.waiting -= 1
                if making.waiting == 0:
                    self._making.pop(key, None)

    def _find(self, key: str) -> VoicePrompt | None:
        held = self._held.get(key)
        if held is None:
            return None
        self._held.move_to_end(key)
        return held.prompt

    def _keep(self, key: str, held: _Held) -> None:
        self._held[key] = held
        total = sum(each.size_bytes for each in self._held.values())
        while total > self.max_bytes and len(self._held) > 1:  # the newest stays, however large
            _, gone = self._held.popitem(last=False)
            total -= gone.size_bytes
