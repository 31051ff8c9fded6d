"""A checkpoint directory → networks, strictly: every needed tensor present, of its shape, finite.

::

    <checkpoint>/
    ├── diffusion_transformer/   config.yaml and model.safetensors, or the release's model_only_last.ckpt
    ├── aligner_lm/
    ├── duration_lm/
    ├── wavvae/                  or the release's decoder.ckpt: then no voice can be encoded
    ├── g2p/                     the release's language model for text, where it is installed
    ├── voices/
    └── manifest.yaml            name, licence, source, and every file's sha256
"""

from megatts3.checkpoint.load import Capabilities, Networks, load_networks
from megatts3.checkpoint.manifest import Manifest, read_manifest, verify_files, write_manifest
from megatts3.checkpoint.save import save_network, save_networks

__all__ = [
    "Capabilities",
    "Manifest",
    "Networks",
    "load_networks",
    "read_manifest",
    "save_network",
    "save_networks",
    "verify_files",
    "write_manifest",
]
