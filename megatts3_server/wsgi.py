"""What gunicorn points at: `megatts3_server.wsgi:app`.

The app is built when it is first asked for, so importing this module reads nothing and connects to nothing.
"""

import functools
from typing import Any

import flask

from contract.settings import load_settings
from contract.telemetry import configure_logging
from megatts3_server.app import create_app


@functools.cache
def build() -> flask.Flask:
    """The app of this process, from the settings of its environment."""
    settings = load_settings()
    configure_logging(settings.logging)
    return create_app(settings)


def __getattr__(name: str) -> Any:  # Any: PEP 562
    if name == "app":
        return build()
    raise AttributeError(name)
