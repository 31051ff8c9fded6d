"""What gunicorn points at: `megatts3_server.wsgi:app`.

The app is built when it is first asked for, so importing this module reads nothing and connects to nothing.
"""

import atexit
import functools
from typing import Any

import flask

from contract.settings import load_settings
from contract.telemetry import configure_logging
from contract.tracing import open_tracing
from megatts3_server.app import create_app


@functools.cache
def build() -> flask.Flask:
    """The app of this process, from the settings of its environment."""
    settings = load_settings()
    configure_logging(settings.logging)
    tracing = open_tracing(settings.tracing, service="megatts3-api")
    atexit.register(tracing.close)
    return create_app(settings, tracing=tracing)


def __getattr__(name: str) -> Any:  # Any: PEP 562
    if name == "app":
        return build()
    raise AttributeError(name)
