"""The WaveVAE's training: both halves on spectral distances; later the decoder alone, against a critic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torchaudio
from torch import Tensor, nn

from megatts3.models.layers.source_filter import SourceFilterDecoder
from megatts3.models.layers.weight_norm import WeightNormConv1d
from megatts3.models.wavvae import SAMPLES_PER_LATENT, WaveVAE
from megatts3.rates import SAMPLE_RATE
from megatts3.training import losses
from megatts3.training.critic import SpectrogramCritic
from megatts3.training.data import LATENT_FILE, Corpus, crops
from megatts3.training.loop import Stage, StepContext

_LOG_VARIANCE_FLOOR, _LOG_VARIANCE_CEILING = -8.0, 2.0  # of the posterior while training
_FIRST_LOG_VARIANCE = -4.0
_SPEECH_RANGE = 8.0  # nepers of power below the loudest frame, 35 dB: no longer speech
_MOST_BALANCE = 1.0  # nepers a bin may be changed by
_BALANCE_BANDS = 40  # evenly spaced in mel
_QUIET = 1e-7  # of a band's power: what is below counts no further
_ADVERSARIAL_WEIGHT, _FEATURE_WEIGHT = 0.3, 1.0


@dataclass(frozen=True)
class WaveVAERecipe:
    """rows x latents is one batch; `adversarial_from` is the share of the run after which the critic joins."""

    rows: int = 12
    latents: int = 16
    kl_weight: float = 1e-3
    pitch_weight: float = 1.0
    adversarial_from: float = 2.0  # above 1: never
    freeze_encoder: bool = False
    spread_weight: float = 0.0  # of what averages and variances of cepstra differ by
    floor_share: float = 1.0  # of the spectral loss's floors: lower hears what is quieter


class WaveVAEStage(Stage):
    """Reconstruct random crops.  With a frozen encoder only the decoder learns; latents stay what they are."""

    def __init__(self, model: WaveVAE, corpus: Corpus, recipe: WaveVAERecipe, device: torch.device) -> None:
        self.module, self._corpus, self._recipe, self._device = model, corpus, recipe, device
        self._wavvae = model
        self._spectral = losses.SpectralLoss(recipe.floor_share).to(device)
        self.critic: nn.Module | None = SpectrogramCritic() if recipe.adversarial_from < 1 else None
        self._last: tuple[Tensor, Tensor] | None = None
        if recipe.freeze_encoder:
            assert model.encoder is not None
            model.encoder.requires_grad_(False)
            model.proj_to_z.requires_grad_(False)

    def losses(self, context: StepContext) -> Mapping[str, Tensor]:
        length = self._recipe.latents * SAMPLES_PER_LATENT
        piece = crops(self._corpus, context.rng, rows=self._recipe.rows, samples=length)
        true, f0_hz = piece.samples.to(self._device), piece.f0_hz.to(self._device)
        with torch.set_grad_enabled(not self._recipe.freeze_encoder):
            posterior = self._wavvae.encode(true)
        mean = posterior.mean.float()
        log_variance = posterior.log_variance.float().clamp(_LOG_VARIANCE_FLOOR, _LOG_VARIANCE_CEILING)
        latent = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        log_f0, made = self._wavvae.decode_with_pitch(latent)
        with torch.autocast(true.device.type, enabled=False):
            spectral = self._spectral(made, true)
            kl = losses.kl_to_standard_normal(mean, log_variance)
            pitch = losses.pitch_distance(log_f0, f0_hz)
        found = {"spectral": spectral, "kl": kl, "pitch": pitch}
        total = spectral + self._recipe.kl_weight * kl + self._recipe.pitch_weight * pitch
        if self._recipe.spread_weight:
            with torch.autocast(true.device.type, enabled=False):
                found["spread"] = self._spectral.spread(made, true)
            total = total + self._recipe.spread_weight * found["spread"]
        if self.critic is not None and context.progress >= self._recipe.adversarial_from:
            self._last = (made, true)
            _, real_maps = self.critic(true)
            fake_scores, fake_maps = self.critic(made)
            found["fool"] = losses.generator_loss(fake_scores)
            found["features"] = losses.feature_matching(real_maps, fake_maps)
            total = total + _ADVERSARIAL_WEIGHT * found["fool"] + _FEATURE_WEIGHT * found["features"]
        return {"total": total, **found}

    def critic_loss(self) -> Tensor | None:
        if self._last is None or self.critic is None:
            return None
        made, true = self._last
        self._last = None
        return losses.discriminator_loss(self.critic(true)[0], self.critic(made.detach())[0])


@torch.no_grad()
def start_balanced(model: WaveVAE, samples: Tensor) -> None:
    """Scale each encoder convolution so that its output has deviation 1 on `samples` (B, L), after LSUV.

    From a plain start the signal fades on its way through the encoder, the posterior is all noise, and the
    decoder learns to do without it.
    """
    assert model.encoder is not None

    def rescale(layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> Tensor:
        assert isinstance(layer, WeightNormConv1d)
        deviation = output.std().clamp(min=1e-4)
        layer.weight_g.div_(deviation)
        return output / deviation

    hooks = [m.register_forward_hook(rescale) for m in model.encoder.modules() if isinstance(m, WeightNormConv1d)]
    hidden = model.encoder(samples[:, None]).transpose(1, 2)
    for hook in hooks:
        hook.remove()
    width = model.config.latent_dim
    shift = model.proj_to_z(hidden)[..., :width]
    model.proj_to_z.weight[:width] /= shift.std()
    model.proj_to_z.bias[:width] = 0
    model.proj_to_z.weight[width:] *= 0.1
    model.proj_to_z.bias[width:] = _FIRST_LOG_VARIANCE


@torch.no_grad()
def normalise_latents(model: WaveVAE, corpus: Corpus, *, utterances: int = 300) -> None:
    """Fold a per-channel shift and scale into the two projections, so that latents have mean 0 and deviation 1.

    The DiT then starts from data as wide as its noise; the waveform a latent stands for does not change.
    """
    step = max(1, len(corpus.entries) // utterances)
    means = torch.cat([encode_entry(model, corpus, index) for index in range(0, len(corpus.entries), step)])
    shift, scale = means.mean(0), means.std(0)
    width = len(shift)
    to_z, to_decoder = model.proj_to_z, model.proj_to_decoder
    to_z.weight[:width] /= scale[:, None]
    to_z.bias[:width] = (to_z.bias[:width] - shift) / scale
    to_z.bias[width:] -= 2 * scale.log()
    to_decoder.bias.add_(to_decoder.weight @ shift)
    to_decoder.weight *= scale[None]


@torch.no_grad()
def balance_spectrum(model: WaveVAE, corpus: Corpus, *, utterances: int = 240) -> None:
    """Fold into the light decoder's filters what the log energy of its bands lacks on average, or has too much of.

    Distances frame by frame leave a small tilt that is the same for every voice, and voices are told apart by less.
    Bands as wide as those of hearing, over speech alone: between harmonics a fine spectrum says nothing of a voice.
    """
    decoder = model.decoder
    assert isinstance(decoder, SourceFilterDecoder)
    device = decoder.window.device
    bins = decoder.n_fft // 2 + 1
    bands = torchaudio.functional.melscale_fbanks(
        bins, 0.0, SAMPLE_RATE / 2, _BALANCE_BANDS, SAMPLE_RATE, mel_scale="htk"
    ).to(device)
    step = max(1, len(corpus.entries) // utterances)
    off, count = torch.zeros(_BALANCE_BANDS, device=device), 0
    for entry in corpus.entries[::step]:
        true = torch.from_numpy(corpus.audio(entry))[None].to(device)
        made = model.decode(model.encode(true).mean)[:, : true.shape[1]]
        a, b = (torch.log(_power(x, decoder) @ bands + _QUIET) for x in (true, made))
        level = torch.logsumexp(a, dim=1)
        speech = level > level.max() - _SPEECH_RANGE
        off += (a - b)[speech].sum(0)
        count += int(speech.sum())
    nepers = (0.5 * off / count).clamp(-_MOST_BALANCE, _MOST_BALANCE)
    # Of a bin: that of the bands it belongs to, by its share in each; at both ends, of the outermost.
    shares = bands / bands.sum(1, keepdim=True).clamp(min=1e-9)
    by_bin = shares @ nepers
    within = (bands.sum(1) > 0).nonzero()[:, 0]
    by_bin[: within[0]], by_bin[within[-1] + 1 :] = nepers[0], nepers[-1]
    decoder.filter_head.bias.add_(by_bin.repeat(2).to(decoder.filter_head.bias))


def _power(samples: Tensor, decoder: SourceFilterDecoder) -> Tensor:
    """(1, L) → (frames, bins)."""
    spectrum = torch.stft(samples, decoder.n_fft, decoder.hop, window=decoder.window, return_complex=True)
    return spectrum[0].abs().square().T


@torch.no_grad()
def encode_entry(model: WaveVAE, corpus: Corpus, index: int) -> Tensor:
    """(T, C) posterior means of one utterance."""
    device = next(model.parameters()).device
    samples = torch.from_numpy(corpus.audio(corpus.entries[index])).to(device)
    return model.encode(samples[None]).mean[0].float().cpu()


def write_latents(model: WaveVAE, corpora: list[Corpus], folder: Path) -> None:
    """Encode every utterance into one file, each at its audio offset / 960."""
    total = max(e.offset + e.samples for corpus in corpora for e in corpus.entries)
    part = folder / f"{LATENT_FILE}.part"
    table = np.memmap(part, np.float16, "w+", shape=(total // SAMPLES_PER_LATENT, model.config.latent_dim))
    for corpus in corpora:
        for index, entry in enumerate(corpus.entries):
            latent = encode_entry(model, corpus, index).numpy()
            start = entry.offset // SAMPLES_PER_LATENT
            table[start : start + len(latent)] = latent.astype(np.float16)
    table.flush()
    part.replace(folder / LATENT_FILE)
