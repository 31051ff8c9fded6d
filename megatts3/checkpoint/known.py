"""Files of the official release by their content, as public copies show them (SPEC 1.1).

For telling people what they have, never for refusing anything: a newer release is as good.
"""

from collections.abc import Mapping
from types import MappingProxyType

OFFICIAL = "ByteDance/MegaTTS3"
OFFICIAL_LICENCE = "apache-2.0"
THIRD_PARTY = "a third party's WaveVAE with encoder, not published by ByteDance"

_RELEASE = "official release"
KNOWN: Mapping[str, str] = MappingProxyType(
    {
        "a00f18ec36f8c1328ddab7a405c8e388790a1c14fdbdd07c546fcacaf5d19296": f"{_RELEASE}, aligner_lm",
        "12233b95be177504551034390cf71aa748f0c66cbe2fd0ce433b9f9686122da9": f"{_RELEASE}, diffusion_transformer",
        "0f21f4205c5d3ec4bef69716a85ca3d37f25c35b429bac500477a2085039b43f": f"{_RELEASE}, duration_lm",
        "0f9d70d454ee35d023a9a54552716a8ccf2411c967abc6a857160527046f62a2": f"{_RELEASE}, g2p",
        "f309a09fa0c629551d86b0bc68f5d0c4a24448c5fea6bbed421fb3772977a363": f"{_RELEASE}, wavvae (decoder only)",
        "5f432d0740f5238c573be49097a69ac5271e24d0d310e6ea63023f038e5e408a": THIRD_PARTY,
    }
)


def known_as(sha256: str) -> str | None:
    """What a file of this content is, where that is known."""
    return KNOWN.get(sha256)
