"""What this service is: the start page, the facts, the API reference (works offline, asks no other host)."""

import flask

from megatts3_server import capacity_view, page
from megatts3_server.api_document import document
from megatts3_server.format_check import writable
from megatts3_server.problems import PROBLEMS
from megatts3_server.services import services
from megatts3_server.version import VERSION


def start_page() -> flask.Response:
    """A page for people; JSON for programs that ask for it."""
    accept = flask.request.accept_mimetypes
    if accept["application/json"] > accept["text/html"]:
        return info()
    return flask.Response(page.start(VERSION), mimetype="text/html")


def info() -> flask.Response:
    """Version, limits, and what the installed weights can do."""
    built = services()
    settings, snapshot = built.settings, built.workers.snapshot()
    worker = next(iter(snapshot.ready), None)
    facts = {
        "name": "megatts3-server",
        "version": VERSION,
        "model": settings.model.name,
        "ready": worker is not None,
        "checkpoint": worker.checkpoint if worker else None,
        "revision": worker.revision if worker else None,
        "capabilities": {
            "encoder_available": snapshot.encoder_available,
            "pronunciation": snapshot.pronunciation,
            "networks": sorted({name for w in snapshot.ready for name in w.capabilities}),
        },
        "devices": sorted({w.device for w in snapshot.ready}),
        "formats": list(writable(snapshot)),
        "languages": list(capacity_view.LANGUAGES),
        "limits": {
            "max_length": settings.limits.max_text,
            "max_job_text": settings.limits.max_job_text,
            "max_request_bytes": settings.api.max_request_bytes,
            "max_voice_file_bytes": settings.storage.max_voice_bytes,
            "max_latent_file_bytes": settings.storage.max_latent_bytes,
            "supported_formats": list(settings.storage.supported_formats),
            "requests_per_minute": settings.api.rate_limit.requests_per_minute,
            "burst_size": settings.api.rate_limit.burst_size,
            "sync_wait_s": settings.api.sync_wait_s,
        },
        "links": {"docs": "/docs", "openapi": "/openapi.json", "health": "/health"},
    }
    return flask.jsonify(facts)


def models() -> flask.Response:
    """The installed weights and what they can do; none while no worker is ready."""
    return flask.jsonify({"models": capacity_view.models(services().workers.snapshot())})


def capacity() -> flask.Response:
    """What the service can take on now, as the workers measured it: plan your own load by it."""
    built = services()
    response = flask.jsonify(capacity_view.capacity(built.workers.snapshot(), built.settings.jobs))
    response.headers["Cache-Control"] = "no-store"
    return response


def openapi() -> flask.Response:
    """This API, as OpenAPI 3.1."""
    response = flask.jsonify(document())
    response.headers["Cache-Control"] = "public, max-age=300"
    return response


def docs() -> flask.Response:
    """The API reference for people."""
    return flask.Response(page.reference(document(), PROBLEMS), mimetype="text/html")
