"""The product's version, from the installed package."""

from importlib import metadata

_PACKAGE = "megatts3-server"


def _installed() -> str:
    try:
        return metadata.version(_PACKAGE)
    except metadata.PackageNotFoundError:  # run from a source tree that was not installed
        return "0.1.0"


VERSION = _installed()
