"""What the installed weights can do, as health and info show it."""

import dataclasses

import pytest

from tests.server.api_service import WORKER


@pytest.mark.parametrize("encoder", [True, False])
@pytest.mark.parametrize(("networks", "expected"), [(("encoder", "g2p_network"), "network"), ((), "dictionary")])
def test_health_and_info_say_what_encodes_and_what_pronounces(settings, build, encoder, networks, expected):
    worker = dataclasses.replace(WORKER, encoder_available=encoder, capabilities=networks)
    client = build(settings, worker=worker).client

    health, info = client.get("/health").json, client.get("/api/v1/info").json["capabilities"]
    for said in (health, info):
        assert said["encoder_available"] is encoder
        assert said["pronunciation"] == expected


def test_without_a_worker_nobody_knows(settings, build):
    client = build(settings, worker=None).client
    assert client.get("/health").json["pronunciation"] is None
    assert client.get("/api/v1/info").json["capabilities"]["pronunciation"] is None
