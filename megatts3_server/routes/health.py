"""Health: for people and scripts (`/health`), for orchestrators (`/live`, `/ready`).  Never limited."""

from http import HTTPStatus

import flask

from megatts3_server import health_view, problems
from megatts3_server.services import services


def health() -> flask.Response:
    """200 while at least one worker is ready, else 503 with the reason."""
    snapshot = services().workers.snapshot()
    response = flask.jsonify(health_view.view(snapshot, language=problems.language()))
    if not snapshot.is_healthy:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        response.headers["Retry-After"] = "5"
    response.headers["Cache-Control"] = "no-store"
    return response


def live() -> flask.Response:
    """This process answers; says nothing about workers or Redis."""
    return flask.jsonify({"status": "alive"})


def ready() -> flask.Response:
    """As `/health`: a worker has loaded the weights and warmed up."""
    return health()
