"""Fixtures of the API's tests: one API over the in-memory stores, see api_service.py."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from api_service import Service, serve, unlimited
from flask.testing import FlaskClient

from contract.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """As shipped, but nobody is limited and a sync answer comes within seconds."""
    return unlimited(tmp_path)


@pytest.fixture
def build() -> Iterator[Callable[..., Service]]:
    """`build(settings, worker=…)`: services whose threads end with the test."""
    built: list[Service] = []

    def make(settings: Settings, **how: Any) -> Service:
        built.append(serve(settings, **how))
        return built[-1]

    yield make
    for service in built:
        service.close()


@pytest.fixture
def service(settings: Settings, build: Callable[..., Service]) -> Service:
    return build(settings)


@pytest.fixture
def client(service: Service) -> FlaskClient:
    return service.client


@pytest.fixture
def hung_up() -> Iterator[socket.socket]:
    """Our end of a connection whose other end was closed."""
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        yield ours
