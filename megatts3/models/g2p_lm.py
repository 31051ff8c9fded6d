"""The release's pronunciation network: a causal language model that writes phones behind a text (SPEC 3.3).

Text goes in between `<BOT>` and `<BOS>`; what comes out are the codes of phones and tones, up to an end code.  The
transformer itself is the library's of that name; this file feeds it and reads it, greedily and in batches.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

BEGIN_TEXT, END_TEXT = "<BOT>", "<BOS>"
FIRST_CODE_TOKEN = "<Reserved_TTS_0>"  # noqa: S105 - the name of a token, no secret
SILENCE_CODE = 145  # what every answer begins with: it is forced
END_CODE = 801
MAX_NEW_TOKENS = 256


class Tokenizer(Protocol):
    """Text → token ids, no token added that the text does not hold."""

    def __call__(self, text: str, /) -> list[int]: ...


@dataclass(frozen=True)
class Spelled:
    """The answer to one text. codes: from the forced silence on, the end code left out; ended: it came."""

    codes: tuple[int, ...]
    ended: bool


class G2PNetwork:
    """Safe between threads; one of them computes at a time."""

    def __init__(
        self,
        model: Any,  # Any: a causal LM of transformers, which is not imported here
        tokenizer: Tokenizer,
        *,
        first_code: int,
        device: torch.device,
        autocast: torch.dtype | None = None,
    ) -> None:
        """first_code: id of `<Reserved_TTS_0>`; autocast: of matrix products, as the reference has on a GPU."""
        self._model, self._tokenizer, self._first_code = model, tokenizer, first_code
        self._device, self._autocast = device, autocast
        self._lock = threading.Lock()

    def spell(self, texts: Sequence[str]) -> list[Spelled]:
        """Each text's codes, all texts in one batch."""
        forced = self._first_code + SILENCE_CODE
        prompts = [[*self._tokenizer(f"{BEGIN_TEXT}{text}{END_TEXT}"), forced] for text in texts]
        with self._lock, torch.inference_mode(), self._precision():
            written = greedy(self._model, prompts, stop=self._first_code + END_CODE, device=self._device)
        return [
            Spelled((SILENCE_CODE, *(token - self._first_code for token in tokens)), ended) for tokens, ended in written
        ]

    def _precision(self) -> torch.autocast:
        dtype = self._autocast or torch.bfloat16
        return torch.autocast(self._device.type, dtype=dtype, enabled=self._autocast is not None)


def greedy(
    model: Any,  # Any: as above
    prompts: Sequence[Sequence[int]],
    *,
    stop: int,
    device: torch.device,
    max_new: int = MAX_NEW_TOKENS,
) -> list[tuple[list[int], bool]]:
    """The likeliest continuation of each prompt, and whether it reached `stop`, which is left out.

    Shorter prompts are padded on the left, so that all rows write at one place; a mask and positions of their own
    keep a row from noticing.
    """
    if not prompts:
        return []
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(p)) + list(p) for p in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    written: list[list[int]] = [[] for _ in prompts]
    ended = [False] * len(prompts)
    memory: Any = None  # keys and values of what was read
    for _ in range(max_new):
        answer = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            cache=memory,
            use_cache=True,
            logits_to_keep=1,
        )
        memory = answer.cache
        chosen: Tensor = answer.logits[:, -1].float().argmax(-1)
        for row, token in enumerate(chosen.tolist()):
            ended[row] = ended[row] or token == stop
            if not ended[row]:
                written[row].append(token)
        if all(ended):
            break
        ids = chosen[:, None]
        mask = torch.cat((mask, mask.new_ones(len(mask), 1)), dim=1)
        positions = positions[:, -1:] + 1
    return list(zip(written, ended, strict=True))
