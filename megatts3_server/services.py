"""The things a request handler may ask for: built once by app.py, found through one accessor."""

import time
from dataclasses import dataclass
from typing import cast

import flask

from contract.settings import Settings
from contract.stores.interfaces import Stores
from megatts3_server import auth, client_gone, request_id, request_log
from megatts3_server.planning import Planning
from megatts3_server.submission import Caller, Submission
from megatts3_server.voice_registration import VoiceRegistration
from megatts3_server.waiting import WaitRoom
from megatts3_server.workers_view import WorkersView

_NAME = "megatts3"
_LAST_ANSWER_S = 1.0  # a sync answer keeps at least this long to wait, however long the upload took


@dataclass(frozen=True)
class Services:
    settings: Settings
    stores: Stores
    submission: Submission
    planning: Planning
    voices: VoiceRegistration
    workers: WorkersView
    wait_room: WaitRoom


def install(app: flask.Flask, built: Services) -> None:
    app.extensions[_NAME] = built


def of_app(app: flask.Flask) -> Services:
    """Outside a request."""
    return cast("Services", app.extensions[_NAME])


def services() -> Services:
    """Of the current app.  KeyError when nothing was wired: that is a mistake of ours."""
    return cast("Services", flask.current_app.extensions[_NAME])


def caller() -> Caller:
    """Who sent the current request."""
    return Caller(request_id.current(), auth.key_id(), client_gone.watch(flask.request.environ))


def sync_time_left_s() -> float:
    """Seconds this request may still wait: known clients give up after 180 s without a byte, all told."""
    api = services().settings.api
    spent_s = time.monotonic() - request_log.arrived_at()
    return max(min(api.timeout_s, api.sync_wait_s) - spent_s, _LAST_ANSWER_S)
