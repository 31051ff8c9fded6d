"""The DiT's forward for serving: rows of any length laid end to end, nothing padded, nothing computed twice.

Equal to ``DiffusionTransformer.velocity`` but for the order of sums.  What is different:

- rows lie one after another in one tensor (N, D), so that linear layers see no padding; attention is per row
- queries, keys and values come from one matrix, which has the attention's scale in it, to the base of 2
- the branches of a row share its time, so a norm and its modulation are one layer norm with that time's weights
- of the last layer only the target is computed: nobody reads a velocity of the prompt span (SPEC 6.4)
- the last two linear layers, with nothing between them, are one
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from megatts3.models.layers.dit_layers import NORM_EPS, DiTLayer
from megatts3.models.layers.packed_linear import PackedLinear
from megatts3.models.layers.positions import rotary_angles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from megatts3.models.diffusion_transformer import DiffusionTransformer, Modulations

    Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Span:
    """A row's tokens, from `start` on: K branches of T latent frames each."""

    start: int
    branches: int
    latent_frames: int

    @property
    def end(self) -> int:
        return self.start + self.branches * self.latent_frames


@dataclass(frozen=True, eq=False)
class PackedRows:
    """What no step changes, of all rows of a batch.  N tokens in all, M of them in targets.

    states:    (N, D) float32 conditioning, with what x adds where it is zero
    rotation:  (N, 1, head_dim / 2) complex, each token's rotary angle
    spans:     of the rows among N; of their targets among M
    in_target: (M,) which of the N tokens those are
    """

    states: Tensor
    rotation: Tensor
    spans: tuple[Span, ...]
    targets: tuple[Span, ...]
    in_target: Tensor


_ROOM_FOR_A_SUM = 19  # 2¹⁹: more scores than any row has
_LN_2 = math.log(2.0)


@dataclass(frozen=True, eq=False)
class RowTime:
    """Adaptive-norm vectors of one time, float32.

    layers: (n_layers, 6, D) shift, 1 + scale, gate for attention, then for feed-forward
    final:  (2, D) 1 + scale, shift
    """

    layers: Tensor
    final: Tensor

    @classmethod
    def of_grid(cls, modulations: Modulations) -> list[RowTime]:
        """One for each time of `modulations`."""
        layers, final = modulations.layers.float().clone(), modulations.final.float().clone()
        layers[:, :, (1, 4)] += 1.0
        final[:, 0] += 1.0
        return [cls(*pair) for pair in zip(layers, final, strict=True)]


def fused_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """(K, heads, n, head_dim) each, query and key in float32; the scale is in the query already, to the base of 2."""
    query, key = query.to(value.dtype), key.to(value.dtype)
    return functional.scaled_dot_product_attention(query, key, value, scale=_LN_2)


def plain_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The same as two products and a softmax: in bfloat16 faster on processors whose fused kernel is not.

    A softmax reads its scores three times, for the largest, the sum and the shares.  Where no score can be so large
    that its power of two overflows (no product of two vectors exceeds the product of their lengths), once is enough:
    a column of ones beside the values gives the sum.
    """
    largest = query.norm(dim=-1).amax() * key.norm(dim=-1).amax()
    query, key = (x.to(value.dtype, memory_format=torch.contiguous_format) for x in (query, key))
    scores = query @ key.transpose(-1, -2)
    if not largest < math.log2(torch.finfo(scores.dtype).max) - _ROOM_FOR_A_SUM:  # a NaN too
        return torch.softmax(scores.mul_(_LN_2), dim=-1) @ value
    width = value.shape[-1]
    mixed = scores.exp2_() @ functional.pad(value, (0, 8 - width % 8), value=1.0)  # products like multiples of eight
    # Sums are laid out beside what they divide: a division by a broadcast column goes one value at a time.
    return mixed.div_(mixed[..., width:].narrow(-1, 0, 1).expand_as(mixed).contiguous())[..., :width]


class _Layer:
    """One layer's products.  `query` is apart in the last layer, which asks for targets only."""

    def __init__(self, layer: DiTLayer, dtype: torch.dtype, *, is_last: bool) -> None:
        attention = layer.attention
        scale = (attention.wq.in_features // attention.heads) ** -0.5 / _LN_2
        parts = [
            (attention.wq.weight * scale, attention.wq.bias * scale),
            (attention.wk.weight, attention.wk.bias),
            (attention.wv.weight, attention.wv.bias),
        ]
        self.query = PackedLinear(*parts[0], dtype) if is_last else None
        joined = parts[1:] if is_last else parts
        self.project = PackedLinear(torch.cat([w for w, _ in joined]), torch.cat([b for _, b in joined]), dtype)
        self.out = PackedLinear(attention.wo.weight, attention.wo.bias, dtype)
        self.widen = PackedLinear(layer.feed_forward.w1.weight, layer.feed_forward.w1.bias, dtype)
        self.narrow = PackedLinear(layer.feed_forward.w2.weight, layer.feed_forward.w2.bias, dtype)


class PackedDiT:
    """Built once from a network; never changed."""

    def __init__(self, dit: DiffusionTransformer, dtype: torch.dtype, attention: Attention = fused_attention) -> None:
        self.dtype = dtype
        self._attention = attention
        self._heads, self._width = dit.config.n_heads, dit.config.dim
        stored = [layer for layer in dit.encoder.layers if isinstance(layer, DiTLayer)]
        self._layers = [_Layer(layer, dtype, is_last=layer is stored[-1]) for layer in stored]
        self._enter = PackedLinear(dit.x_prenet.weight, dit.x_prenet.bias, dtype)
        self._entered_zero = dit.x_prenet.bias.detach().float()
        first, second = dit.encoder.out_proj, dit.postnet
        weight = second.weight.double() @ first.weight.double()
        self._leave = PackedLinear(weight, second.weight.double() @ first.bias.double() + second.bias, dtype)

    def pack(self, states: Sequence[Tensor], prompt_frames: Sequence[int]) -> PackedRows:
        """Lay rows end to end.

        states:        per row its conditioning (K, T, D)
        prompt_frames: per row how many of its T are the prompt span, fewer than T
        """
        spans, targets, in_target, rotation, tokens = [], [], [], [], []
        begin = heard = 0
        for given, prompt in zip(states, prompt_frames, strict=True):
            branches, frames, _ = given.shape
            device = given.device
            spans.append(Span(begin, branches, frames))
            targets.append(Span(heard, branches, frames - prompt))
            places = torch.arange(begin, begin + branches * frames, device=device).view(branches, frames)
            in_target.append(places[:, prompt:].flatten())
            cos, sin = rotary_angles(torch.arange(frames, device=device), self._width // self._heads)
            rotation.append(torch.complex(cos, sin).repeat(branches, 1))
            own = given.float().clone()
            own[:, :prompt] += self._entered_zero
            tokens.append(own.flatten(0, 1))
            begin, heard = spans[-1].end, targets[-1].end
        return PackedRows(
            torch.cat(tokens), torch.cat(rotation)[:, None], tuple(spans), tuple(targets), torch.cat(in_target)
        )

    def velocity(self, x: Sequence[Tensor], rows: PackedRows, times: Sequence[RowTime]) -> list[Tensor]:
        """One evaluation for all rows.

        x:       per row its state over the target, (T - P, C) float32
        returns: per row the velocity of each branch over the target, (K, T - P, C) float32
        """
        h = self._begin(x, rows)
        for number, layer in enumerate(self._layers[:-1]):
            vectors = [time.layers[number] for time in times]
            normed = self._normed(h, rows.spans, [(v[1], v[0]) for v in vectors])
            projected = layer.project(normed)
            query, key = self._turned(projected[:, : 2 * self._width], rows.rotation).chunk(2, dim=-1)
            value = projected[:, 2 * self._width :]
            mixed = self._mix(query, key, value, rows.spans, rows.spans)
            self._pass(layer, h, mixed, rows.spans, vectors)
        vectors = [time.layers[-1] for time in times]
        h = self._last(self._layers[-1], h, rows, vectors)
        left = self._leave(self._normed(h, rows.targets, [(time.final[0], time.final[1]) for time in times])).float()
        return [left[span.start : span.end].view(span.branches, span.latent_frames, -1) for span in rows.targets]

    def _begin(self, x: Sequence[Tensor], rows: PackedRows) -> Tensor:
        h = rows.states.clone()
        entered = torch.split(self._enter(torch.cat(list(x)).to(self.dtype)), [len(row) for row in x])
        for span, row in zip(rows.spans, entered, strict=True):
            own = h[span.start : span.end].view(span.branches, span.latent_frames, -1)
            own[:, span.latent_frames - len(row) :] += row
        return h

    def _last(self, layer: _Layer, h: Tensor, rows: PackedRows, vectors: Sequence[Tensor]) -> Tensor:
        """The last layer; returns h of the targets alone, (M, D)."""
        assert layer.query is not None
        normed = self._normed(h, rows.spans, [(v[1], v[0]) for v in vectors])
        query = self._turned(layer.query(normed[rows.in_target]), rows.rotation[rows.in_target])
        key, value = layer.project(normed).chunk(2, dim=-1)
        key = self._turned(key, rows.rotation)
        mixed = self._mix(query, key, value, rows.targets, rows.spans)
        return self._pass(layer, h[rows.in_target], mixed, rows.targets, vectors)

    def _pass(
        self, layer: _Layer, h: Tensor, mixed: Tensor, spans: Sequence[Span], vectors: Sequence[Tensor]
    ) -> Tensor:
        """What follows attention in a layer, added to h in place."""
        _add_gated(h, layer.out(mixed), spans, [v[2] for v in vectors])
        normed = self._normed(h, spans, [(v[4], v[3]) for v in vectors])
        return _add_gated(h, layer.narrow(layer.widen(normed, "swish")), spans, [v[5] for v in vectors])

    def _normed(self, h: Tensor, spans: Sequence[Span], scale_shift: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        parts = [
            functional.layer_norm(h[span.start : span.end], (self._width,), scale, shift, NORM_EPS)
            for span, (scale, shift) in zip(spans, scale_shift, strict=True)
        ]
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).to(self.dtype)

    def _turned(self, projected: Tensor, rotation: Tensor) -> Tensor:
        """Rotated, in float32: (N, parts of width D) → the same."""
        exact = projected.float().contiguous()
        pairs = exact.view(len(exact), exact.shape[-1] // (2 * rotation.shape[-1]), -1, 2)
        torch.view_as_complex(pairs).mul_(rotation)
        return exact

    def _mix(self, query: Tensor, key: Tensor, value: Tensor, asking: Sequence[Span], asked: Sequence[Span]) -> Tensor:
        """Attention of each row over itself. (N, D)"""
        mixed = torch.empty_like(query, dtype=self.dtype, memory_format=torch.contiguous_format)
        for to, span in zip(asking, asked, strict=True):
            parts = [self._heads_of(query, to), self._heads_of(key, span), self._heads_of(value, span)]
            self._heads_of(mixed, to).copy_(self._attention(*parts))
        return mixed

    def _heads_of(self, x: Tensor, span: Span) -> Tensor:
        """(K, heads, T, head_dim), a view."""
        return x[span.start : span.end].view(span.branches, span.latent_frames, self._heads, -1).transpose(1, 2)


def _add_gated(h: Tensor, added: Tensor, spans: Sequence[Span], gates: Sequence[Tensor]) -> Tensor:
    for span, gate in zip(spans, gates, strict=True):
        h[span.start : span.end].addcmul_(gate, added[span.start : span.end])
    return h
