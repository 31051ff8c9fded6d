"""The DiT: velocity v(x_t, t | conditioning) of latents (SPEC 6).

What does not change between solver steps is computed once by its own method — ``encode_text``,
``local_condition``, ``conditioning``, ``modulations`` — and handed to ``velocity``. The three guidance
branches are ordinary batch rows. Rows of different lengths are padded on the right with phone 0 and
frame-to-phone 0; with ``key_mask`` a padded row's velocity equals that of the row alone.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from megatts3.config import DiTConfig
from megatts3.models.layers.dit_layers import DiTLayers, Rotary, TimeEmbedding
from megatts3.models.layers.positions import phone_positions, rotary_angles, time_features
from megatts3.models.layers.relative_encoder import RelativeEncoder

UNCONDITIONAL_PHONE = 301  # every phone of the unconditional branch (SPEC 2.3)
UNCONDITIONAL_TONE = 31


@dataclass(frozen=True)
class Modulations:
    """All adaptive-norm vectors of some times t: they depend on t alone and can be kept.

    layers: (B, n_layers, 6, D)
    final:  (B, 2, D) scale, shift
    """

    layers: Tensor
    final: Tensor

    def rows(self, index: Tensor) -> Self:
        """The vectors of some rows, repeated as asked. index: (B',) int."""
        return type(self)(self.layers[index], self.final[index])


class DiffusionTransformer(nn.Module):
    """Phones spread over time, a voice's latents and a noisy latent → velocity."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        width = config.dim
        self.tone_embed = nn.Embedding(config.tone_vocab, width)
        nn.init.normal_(self.tone_embed.weight, std=width**-0.5)
        self.ph_encoder = RelativeEncoder(
            vocab=config.phone_vocab,
            width=width,
            hidden=config.ph_filter,
            heads=config.ph_heads,
            layers=config.ph_layers,
            kernel=config.ph_kernel,
            window=config.ph_window,
            prenet_kernel=config.prenet_kernel,
            prenet_layers=config.prenet_layers,
        )
        self.ling_pre_net = nn.Sequential(
            nn.Conv1d(width, width, 4, stride=2, padding=1), nn.Conv1d(width, width, 4, stride=2, padding=1)
        )
        self.ctx_mask_proj = nn.Linear(1, config.ctx_mask_dim)
        self.local_cond_project = nn.Linear(config.latent_dim + config.ctx_mask_dim, config.local_cond_dim)
        self.x_prenet = nn.Linear(config.latent_dim, width)
        self.prenet = nn.Linear(config.local_cond_dim, width)
        self.f5_time_embed = TimeEmbedding(width)
        self.encoder = DiTLayers(config)
        self.postnet = nn.Linear(width, config.latent_dim)
        nn.init.zeros_(self.postnet.weight)
        nn.init.zeros_(self.postnet.bias)

    def encode_text(self, phones: Tensor, tones: Tensor, frame_to_phone: Tensor) -> Tensor:
        """Text states at latent rate (SPEC 6.2).

        phones, tones:  (B, S) int; phone 0 at padding
        frame_to_phone: (B, F) int, 1-based, 0 at padding; F a multiple of 8
        returns:        (B, T, D), T = F / 4
        """
        states = self._expand(self._encode_phones(phones, tones), frame_to_phone)
        first, second = self.ling_pre_net
        half = first(states.transpose(1, 2))
        # Past a row's own end the convolution gives its bias, which the second one would see (SPEC 10.2).
        half = half * frame_to_phone[:, None, ::2].ne(0)
        text: Tensor = second(half)
        return text.transpose(1, 2)

    def _encode_phones(self, phones: Tensor, tones: Tensor) -> Tensor:
        present = phones.ne(0)[..., None]
        side = self.tone_embed(tones)
        side = side + phone_positions(phones.shape[1], self.config.dim, phones.device).to(side.dtype)
        states: Tensor = self.ph_encoder(phones, side * present)
        return states * present

    @staticmethod
    def _expand(states: Tensor, frame_to_phone: Tensor) -> Tensor:
        """Each phone's state for as many frames as it lasts; zeros where the map is 0. (B, F, D)"""
        with_zero = torch.cat((states.new_zeros(states.shape[0], 1, states.shape[2]), states), dim=1)
        return with_zero.gather(1, frame_to_phone[..., None].expand(-1, -1, states.shape[2]))

    def local_condition(self, context: Tensor, prompt_mask: Tensor) -> Tensor:
        """The voice's part of the conditioning (SPEC 6.3).

        context:     (B, T, C) the prompt's latents, zeros elsewhere
        prompt_mask: (B, T, 1) 1 on the prompt span
        returns:     (B, T, local_cond_dim)
        """
        embedded = self.ctx_mask_proj(prompt_mask.to(self.x_prenet.weight.dtype))
        local: Tensor = self.local_cond_project(torch.cat((context.to(embedded.dtype), embedded), dim=-1))
        return local

    def conditioning(self, text: Tensor, local: Tensor) -> Tensor:
        """The sum that every step adds: text states and projected voice part. (B, T, D)"""
        voice: Tensor = self.prenet(local)
        return text + voice

    def modulations(self, t: Tensor) -> Modulations:
        """All adaptive-norm vectors at times t (B,)."""
        return Modulations(*self.encoder.vectors(self.f5_time_embed(time_features(t))))

    def velocity(
        self,
        x: Tensor,
        t: Tensor | Modulations,
        conditioning: Tensor,
        prompt_mask: Tensor,
        key_mask: Tensor | None = None,
    ) -> Tensor:
        """One evaluation (SPEC 6.4).

        x:            (B, T, C) state; its prompt span is ignored
        t:            (B,) flow time per row, or what ``modulations`` made of it
        conditioning: (B, T, D)
        prompt_mask:  (B, T, 1) 1 on the prompt span
        key_mask:     (B, T) bool, True on a row's own frames; None where no row is padded
        returns:      (B, T, C) in the weights' dtype, or autocast's
        """
        modulations = t if isinstance(t, Modulations) else self.modulations(t)
        # Under autocast the residual stream keeps the state's float32; else it has the weights' dtype.
        x = x * (1 - prompt_mask)
        x = x if torch.is_autocast_enabled(x.device.type) else x.to(self.x_prenet.weight.dtype)
        h = (self.x_prenet(x) + conditioning).to(x.dtype)
        positions = torch.arange(x.shape[1], device=x.device)
        rotary = Rotary(*rotary_angles(positions, self.config.dim // self.config.n_heads))
        mask = None if key_mask is None else key_mask[:, None, None]
        h = self.encoder(h, modulations.layers, modulations.final, rotary, mask)
        velocity: Tensor = self.postnet(h)
        return velocity

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        phones: Tensor,
        tones: Tensor,
        frame_to_phone: Tensor,
        context: Tensor,
        prompt_mask: Tensor,
        key_mask: Tensor | None = None,
    ) -> Tensor:
        """All of it in one go, as training wants it. Shapes as above; returns (B, T, C)."""
        text = self.encode_text(phones, tones, frame_to_phone)
        conditioning = self.conditioning(text, self.local_condition(context, prompt_mask))
        return self.velocity(x, t, conditioning, prompt_mask, key_mask)
