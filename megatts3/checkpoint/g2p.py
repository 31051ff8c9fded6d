"""The release's pronunciation network, from its folder (SPEC 1.5).

transformers is imported here, and only where the folder is there.
"""

import importlib.util
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from megatts3.checkpoint.files import FETCH_AGAIN, WEIGHTS, read_tensors
from megatts3.checkpoint.fill import fill
from megatts3.checkpoint.unfilled import Unfilled
from megatts3.errors import CheckpointError
from megatts3.models.g2p_lm import BEGIN_TEXT, END_CODE, END_TEXT, FIRST_CODE_TOKEN, G2PNetwork

log = logging.getLogger(__name__)

FOLDER = "g2p"
CONFIG, TOKENIZER = "config.json", "tokenizer.json"
NEEDED = (CONFIG, WEIGHTS, TOKENIZER)
ARCHITECTURE = "qwen2"
_OUTPUT = "lm_head.weight"
_TABLE = "model.embed_tokens.weight"
_COMPLETE = "complete the folder (`megatts3 checkpoints download`), or remove it: dictionaries then do its work"


def is_installed(checkpoint: Path) -> bool:
    """The folder is there; whether it is complete is `load_g2p`'s to say."""
    return (checkpoint / FOLDER).is_dir()


def can_run() -> bool:
    """The libraries it needs are there; nothing is imported."""
    return all(importlib.util.find_spec(name) is not None for name in ("transformers", "tokenizers"))


def load_g2p(checkpoint: Path, *, device: torch.device, dtype: torch.dtype = torch.float32) -> G2PNetwork:
    """CheckpointError where the folder is incomplete or its parts do not fit.

    dtype: of matrix products; the weights are float32 in any case, as in the reference: bfloat16 weights flip close
        decisions
    """
    folder = checkpoint / FOLDER
    for name in NEEDED:
        if not (folder / name).is_file():
            raise CheckpointError(str(folder / name), None, "a file", "none", _COMPLETE)
    model = _model(folder, device)
    tokenizer, first_code = _tokenizer(folder, rows=model.config.vocab_size)
    return G2PNetwork(
        model,
        tokenizer,
        first_code=first_code,
        device=device,
        autocast=None if dtype == torch.float32 or device.type == "cpu" else dtype,
    )


def _model(folder: Path, device: torch.device) -> Any:  # Any: transformers has no types we could name without it
    config_file = folder / CONFIG
    values = _json(config_file)
    if values.get("model_type") != ARCHITECTURE:
        raise CheckpointError(str(config_file), "model_type", ARCHITECTURE, repr(values.get("model_type")), _COMPLETE)
    from transformers import Qwen2Config, Qwen2ForCausalLM  # noqa: PLC0415 - seconds, and only for this network

    tensors = read_tensors(folder / WEIGHTS, "model")
    config = Qwen2Config.from_pretrained(folder, local_files_only=True)
    if _TABLE in tensors and tuple(tensors[_TABLE].shape) != (config.vocab_size, config.hidden_size):
        stated = f"{config.vocab_size} × {config.hidden_size}"
        shown = " × ".join(map(str, tensors[_TABLE].shape))
        remedy = f"{CONFIG} and {WEIGHTS} belong to different models: " + FETCH_AGAIN
        raise CheckpointError(str(config_file), "vocab_size", f"{shown}, as the tensors show", stated, remedy)
    with Unfilled():
        model = Qwen2ForCausalLM(config)
    tied = frozenset({_OUTPUT}) if config.tie_word_embeddings else frozenset[str]()
    for key in tied:
        tensors.pop(key, None)
    fill(model, str(folder / WEIGHTS), tensors, dtype=torch.float32, device=device, skip=tied)
    if tied:
        model.lm_head.weight = model.model.embed_tokens.weight
    return model


def _tokenizer(folder: Path, *, rows: int) -> tuple[Any, int]:
    """The tokenizer as a function, and the id of the first code."""
    from tokenizers import Tokenizer  # noqa: PLC0415 - only for this network

    file = folder / TOKENIZER
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:
        raise CheckpointError(str(file), None, "a tokenizer", f"{type(error).__name__}", FETCH_AGAIN) from error

    def id_of(token: str) -> int:
        found: int | None = tokenizer.token_to_id(token)
        if found is None:
            raise CheckpointError(str(file), token, "a token of that name", "none", _COMPLETE)
        return found

    *_, first_code = [id_of(token) for token in (BEGIN_TEXT, END_TEXT, FIRST_CODE_TOKEN)]
    if first_code + END_CODE >= rows:
        needed = f"at least {first_code + END_CODE + 1} rows of the token table"
        raise CheckpointError(str(file), FIRST_CODE_TOKEN, needed, rows, _COMPLETE)

    def encode(text: str) -> list[int]:
        found: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return found

    return encode, first_code


def _json(path: Path) -> Mapping[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise CheckpointError(str(path), None, "JSON", type(error).__name__, FETCH_AGAIN) from error
    if not isinstance(values, dict):
        raise CheckpointError(str(path), None, "a mapping", type(values).__name__, FETCH_AGAIN)
    return values
