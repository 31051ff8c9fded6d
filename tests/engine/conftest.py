"""Tiny networks, a voice and a front end, shared with the other tests of the library."""

from tests.tiny_library import (  # noqa: F401  fixtures
    _one_thread,
    frontend,
    recording,
    tiny,
    tiny_light,
    tiny_without_encoder,
    voice,
)
