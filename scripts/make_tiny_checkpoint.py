"""Write a whole checkpoint of tiny random networks, for tests of everything around them.

    python scripts/make_tiny_checkpoint.py <folder> [--seed N] [--decoder hifigan] [--no-encoder]

What it says is noise; that it says it, how long and how loud, is all that such tests ask.
"""

import argparse
import dataclasses
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from megatts3.checkpoint import save_networks
from megatts3.config import load_architecture
from megatts3.models.aligner import BEGIN_TOKEN, END_TOKEN, FIRST_TIME_TOKEN, Aligner
from megatts3.models.diffusion_transformer import DiffusionTransformer
from megatts3.models.duration_lm import DurationLM
from megatts3.models.wavvae import WaveVAE

TINY = Path(__file__).parents[1] / "configs" / "architecture" / "tiny.yaml"
SCRIPTED_PHONES = (145, 118, 103, 126, 163, 115, 148)  # sil h ax l , d .
FRAMES_PER_PHONE = 12


def make_tiny_checkpoint(
    path: Path, seed: int = 0, *, decoder: Literal["source_filter", "hifigan"] = "source_filter", encoder: bool = True
) -> Path:
    """Write it and return its path. The same seed gives the same bytes.

    decoder: kind of the WaveVAE's decoder
    encoder: False leaves the WaveVAE's encoder out, as the public release does
    """
    sizes = load_architecture(TINY)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        wavvae_config = dataclasses.replace(sizes.wavvae, decoder=decoder)
        networks = (
            DiffusionTransformer(sizes.dit),
            DurationLM(sizes.duration_lm),
            Aligner(sizes.aligner),
            WaveVAE(wavvae_config, with_encoder=encoder),
        )
        _wake(networks[0])
    _answer_seven_tokens(networks[1])
    _recite(networks[2])
    save_networks(path, *networks, name="tiny", licence="CC0-1.0", source="random numbers")
    return path


def _wake(dit: DiffusionTransformer) -> None:
    """A fresh DiT answers zero to everything; give its silent parts some weight."""
    for name, parameter in dit.named_parameters():
        if "norm.linear" in name or name.startswith("postnet"):
            nn.init.normal_(parameter, std=0.05)


@torch.no_grad()
def _answer_seven_tokens(lm: DurationLM) -> None:
    """Let every phone last about 60 ms, so that sentences have a sensible length."""
    head = next(lm.project_out_dim.children())
    assert isinstance(head, nn.Linear)
    head.weight.mul_(0.5)
    head.bias.fill_(7.0)


@torch.no_grad()
def _recite(aligner: Aligner) -> None:
    """Let the aligner say the same few phones of any recording: nothing but the position decides."""
    spoken = [
        token
        for i, phone in enumerate(SCRIPTED_PHONES, start=1)
        for token in (phone, FIRST_TIME_TOKEN + FRAMES_PER_PHONE * i)
    ]
    decoder, width = aligner.decoder, aligner.config.n_state
    assert decoder.token_embedding.num_embeddings > max(*spoken, BEGIN_TOKEN, END_TOKEN)
    for block in decoder.blocks:  # every sub-layer adds nothing
        for name, parameter in block.named_parameters():
            if ".out." in name or name.startswith("mlp.2"):
                parameter.zero_()
    decoder.token_embedding.weight.zero_()
    decoder.out_proj.weight.zero_()
    decoder.out_proj.bias.zero_()
    # After the norm, position i is a direction of its own; the output row of its token points there.
    turns = torch.arange(len(spoken) + 1)[:, None] * 2.399963 * torch.arange(1, width // 2 + 1)
    places = torch.cat((turns.cos(), turns.sin()), dim=1)
    decoder.positional_embedding[: len(places)] = places
    decoder.positional_embedding[len(places) :] = places[-1]
    normed = decoder.ln(places)
    for place, token in zip(normed, [*spoken, END_TOKEN], strict=True):
        decoder.out_proj.weight[token] += place


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--decoder", choices=["source_filter", "hifigan"], default="source_filter")
    parser.add_argument("--no-encoder", action="store_true")
    chosen = parser.parse_args()
    make_tiny_checkpoint(chosen.folder, chosen.seed, decoder=chosen.decoder, encoder=not chosen.no_encoder)


if __name__ == "__main__":
    main()
