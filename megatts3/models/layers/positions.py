"""Sinusoidal features and rotary positions. Nothing is stored: every table is made where it is used.

Tables are computed in float32 whatever the network's dtype, in the order of operations that SPEC A.2 and 6.5
state: phases reach 1000 rad, where another order shows.
"""

import math

import torch
from torch import Tensor


def _frequencies(count: int, divisor: int, device: torch.device) -> Tensor:
    """exp(-i · ln(10000) / divisor), i = 0 … count-1; the constant in double precision. (count,)"""
    index = torch.arange(count, dtype=torch.float32, device=device)
    return torch.exp(index * -(math.log(10_000.0) / divisor))


def phone_positions(length: int, width: int, device: torch.device) -> Tensor:
    """Sine half, then cosine half, of positions 0 … length-1 (SPEC A.2). (length, width)"""
    half = width // 2
    index = torch.arange(length, dtype=torch.float32, device=device)
    phase = index[:, None] * _frequencies(half, half - 1, device)
    return torch.cat((phase.sin(), phase.cos()), dim=-1)


def time_features(t: Tensor, width: int = 256, scale: float = 1000.0) -> Tensor:
    """Features of flow time t (SPEC 6.5): sine half, then cosine half.

    t:       (B,) in [0, 1]
    returns: (B, width) float32
    """
    half = width // 2
    phase = (scale * t.float())[:, None] * _frequencies(half, half - 1, t.device)
    return torch.cat((phase.sin(), phase.cos()), dim=-1)


def rotary_angles(positions: Tensor, head_dim: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of pos · 10000^(-2i / head_dim).

    positions: (…, T) int
    returns:   two (…, T, head_dim / 2) float32
    """
    exponent = torch.arange(0, head_dim, 2, dtype=torch.float32, device=positions.device) / head_dim
    phase = positions.float()[..., None] * (1.0 / 10_000.0**exponent)
    return phase.cos(), phase.sin()


def rotate_interleaved(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn channels 2i and 2i+1 as one complex number (SPEC 6.6).

    x:        (B, heads, T, head_dim)
    cos, sin: broadcast to (B, heads, T, head_dim / 2)
    """
    even, odd = x.float().reshape(*x.shape[:-1], -1, 2).unbind(-1)
    return torch.stack((even * cos - odd * sin, odd * cos + even * sin), dim=-1).flatten(-2).to(x.dtype)


def rotate_half_split(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn channels i and i + head_dim/2 as one complex number (SPEC 5.2). Shapes as above."""
    first, second = x.float().chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x.dtype)
