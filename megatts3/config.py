"""Sizes of the networks, as strict dataclasses.

The key names are those of the release's own configuration files (SPEC 1.3, 1.4); a mapping with a key that
no dataclass knows is a ConfigError which names the nearest known one. The defaults are the release's sizes.
"""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

import yaml

from megatts3.errors import ConfigError


def _fits(value: object, hint: Any) -> bool:  # Any: a type expression has no type of its own
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_fits(item, get_args(hint)[0]) for item in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


@dataclass(frozen=True)
class _Strict:
    ignored: ClassVar[frozenset[str]] = frozenset()
    """Keys the release's files carry that have no effect on inference."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "config") -> Self:
        """Every key known, every value of its type; ConfigError otherwise."""
        hints = get_type_hints(cls)
        names = {f.name for f in fields(cls)}
        given: dict[str, Any] = {}
        for key, raw in values.items():
            if key in cls.ignored:
                continue
            if key not in names:
                near = difflib.get_close_matches(str(key), names, n=1)
                raise ConfigError(source, str(key), "unknown key", near[0] if near else None)
            value = tuple(raw) if isinstance(raw, list) else raw
            if not _fits(value, hints[key]):
                raise ConfigError(source, key, f"{raw!r} is not of type {hints[key]}")
            if isinstance(value, int) and not isinstance(value, bool) and value < 1:
                raise ConfigError(source, key, f"{raw!r} is not positive")
            given[key] = value
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """Plain values (lists, numbers, strings), fit for YAML; ``from_dict`` takes them back."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}


@dataclass(frozen=True)
class DiTConfig(_Strict):
    """Diffusion transformer and its phone encoder (SPEC 6)."""

    dim: int = 1024
    n_layers: int = 24
    n_heads: int = 16
    local_cond_dim: int = 512
    ctx_mask_dim: int = 16
    latent_dim: int = 32
    max_seq_len: int = 16_384
    phone_vocab: int = 302
    tone_vocab: int = 32
    ph_layers: int = 6
    ph_heads: int = 4
    ph_filter: int = 2048
    ph_kernel: int = 3
    ph_window: int = 4
    prenet_kernel: int = 5
    prenet_layers: int = 3

    @property
    def ffn_dim(self) -> int:
        """Width of the feed-forward part: twice ``dim``, rounded up to a multiple of 256 (SPEC 6.6)."""
        return -(-2 * self.dim // 256) * 256


@dataclass(frozen=True)
class DurationLMConfig(_Strict):
    """Duration language model (SPEC 5, 1.4). Values that only one setting of is known are fixed by type."""

    ignored: ClassVar[frozenset[str]] = frozenset({"max_tokens", "max_tokens_per_item", "frames_multiple"})

    hidden_size: int = 512
    ffn_hidden_size: int = 1024
    num_heads: int = 2
    enc_layers: int = 4
    enc_ffn_kernel_size: int = 3
    dropout: float = 0.0
    enc_prenet: Literal[True] = True
    enc_pre_ln: Literal[True] = True
    encoder_type: Literal["rel_fft"] = "rel_fft"
    lm_use_enc: Literal[True] = True
    use_ph_pos_embed: Literal[True] = True
    char_dict_size: int = 15_000
    ling_labels: tuple[Literal["tone"], ...] = ("tone",)
    ling_label_dict_size: tuple[int, ...] = (20,)
    use_pos_embed: bool = False
    dur_model_type: Literal["ar_mse", "ar"] = "ar_mse"
    use_spk_embed: Literal[False] = False
    use_spk_id: Literal[False] = False
    use_spk_enc: Literal[False] = False
    use_bert_input: Literal[False] = False
    use_rot_embed: Literal[True] = True
    use_post_ln: Literal[False] = False
    lm_bias: Literal[True] = True
    dur_code_size: int = 128
    dur_txt_hs: int = 512
    dur_model_hidden_size: int = 512
    dur_model_layers: int = 8
    mega_use_char: bool = True
    phone_vocab: int = 174
    decoder_heads: int = 8

    @property
    def tone_vocab(self) -> int:
        """Rows of the tone table: the dictionary and its three reserved ids."""
        return self.ling_label_dict_size[0] + 3


@dataclass(frozen=True)
class AlignerConfig(_Strict):
    """Aligner: log-mel encoder and token decoder (SPEC 4)."""

    n_vocab: int = 6800
    n_text_ctx: int = 2048
    n_mels: int = 80
    n_audio_ctx: int = 3000
    n_state: int = 512
    n_head: int = 8
    n_layer: int = 6


@dataclass(frozen=True)
class WaveVAEConfig(_Strict):
    """WaveVAE (SPEC 7). ``decoder`` "source_filter" is our small decoder; the official one is "hifigan"."""

    enc_n_filters: int = 32
    enc_dimension: int = 512
    latent_dim: int = 32
    dec_in: int = 320
    ngf: int = 128
    use_tanh: bool = True
    enc_ratios_applied: tuple[int, ...] = (2, 4, 4, 5, 6)
    dec_ratios: tuple[int, ...] = (4, 5, 4, 4, 3)
    decoder: Literal["hifigan", "source_filter"] = "hifigan"
    light_dim: int = 256
    light_prenet_layers: int = 2
    light_layers: int = 6
    light_n_fft: int = 960
    light_hop: int = 240


@dataclass(frozen=True)
class Architecture:
    """Sizes of all four networks, as one file under ``configs/architecture/`` states them."""

    dit: DiTConfig = field(default_factory=DiTConfig)
    duration_lm: DurationLMConfig = field(default_factory=DurationLMConfig)
    aligner: AlignerConfig = field(default_factory=AlignerConfig)
    wavvae: WaveVAEConfig = field(default_factory=WaveVAEConfig)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "config") -> Self:
        """A network left out has the release's sizes."""
        parts: dict[str, type[_Strict]] = {
            "dit": DiTConfig,
            "duration_lm": DurationLMConfig,
            "aligner": AlignerConfig,
            "wavvae": WaveVAEConfig,
        }
        for key in values:
            if key not in parts:
                near = difflib.get_close_matches(str(key), parts, n=1)
                raise ConfigError(source, str(key), "unknown network", near[0] if near else None)
        given: dict[str, Any] = {key: parts[key].from_dict(part, f"{source}: {key}") for key, part in values.items()}
        return cls(**given)


def load_architecture(path: Path) -> Architecture:
    """Read one YAML file of ``configs/architecture/``; ConfigError where it is not a mapping of mappings."""
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict) or not all(isinstance(part, dict) for part in values.values()):
        raise ConfigError(str(path), "", "not a mapping of networks")
    return Architecture.from_dict(values, str(path))
