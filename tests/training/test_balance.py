import dataclasses
from pathlib import Path

import torch

from megatts3.config import load_architecture
from megatts3.models.wavvae import WaveVAE
from megatts3.training.wavvae import balance_spectrum, start_balanced

SIZES = load_architecture(Path(__file__).parents[2] / "configs" / "architecture" / "tiny.yaml")


def average_log_spectrum(samples: torch.Tensor) -> torch.Tensor:
    window = torch.hann_window(960)
    return torch.log(torch.stft(samples, 960, 240, window=window, return_complex=True).abs() + 1e-4).mean(-1)


def test_what_is_decoded_is_coloured_as_the_corpus_is(corpus):
    torch.manual_seed(0)
    model = WaveVAE(dataclasses.replace(SIZES.wavvae, decoder="source_filter", light_dim=32)).eval()
    samples = torch.from_numpy(corpus.audio(corpus.entries[0]))[None]
    start_balanced(model, samples)

    def off() -> float:
        with torch.no_grad():
            made = model.decode(model.encode(samples).mean)[:, : samples.shape[1]]
        return float((average_log_spectrum(made) - average_log_spectrum(samples)).abs().mean())

    before = off()
    balance_spectrum(model, corpus)

    assert off() < before - 0.9  # as far as a bin may be changed: an untrained network is further off
