"""What depends on a voice alone, computed once and kept: the duration LM's state and the voice's conditioning.

Kept by content, so that a voice under two names is one; the least recently used goes when the bytes are too many.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from megatts3.pipeline.conditioning import voice_part
from megatts3.pipeline.plan import duration_prompt

if TYPE_CHECKING:
    from megatts3.checkpoint import Networks
    from megatts3.models.duration_lm import DurationPrompt
    from megatts3.pipeline.conditioning import VoicePart
    from megatts3.pipeline.voice import VoicePrompt


@dataclass(frozen=True, eq=False)
class VoiceState:
    """durations: what every segment's durations continue from;  part: what every segment is conditioned on"""

    durations: DurationPrompt
    part: VoicePart

    @property
    def size_bytes(self) -> int:
        memories = [x for layer in self.durations.layers for x in (layer.key, layer.value)]
        return self.part.size_bytes + sum(x.numel() * x.element_size() for x in memories)


class VoiceStates:
    """Safe from several lanes; one voice is made at a time."""

    def __init__(self, networks: Networks, *, max_bytes: int) -> None:
        """max_bytes: of all that is kept; the newest is kept whatever its size."""
        self._networks = networks
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, VoiceState] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, voice: VoicePrompt) -> VoiceState:
        """Raises UnknownPhone."""
        with self._lock:
            found = self._kept.get(voice.fingerprint)
            if found is None:
                found = VoiceState(duration_prompt(self._networks, voice), voice_part(self._networks.dit, voice))
                self._kept[voice.fingerprint] = found
                self.size_bytes += found.size_bytes
            self._kept.move_to_end(voice.fingerprint)
            while self.size_bytes > self._max_bytes and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                self.size_bytes -= dropped.size_bytes
            return found
