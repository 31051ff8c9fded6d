"""The ONE map from errors to answers: problem+json (RFC 9457), and the only status codes of the product.

Every error response has one shape: the five members of the RFC, and for clients that know no RFC `error` (the
detail again), `error_code` and `request_id`; `errors` names each bad field and its limit.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import flask
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import BadRequest, HTTPException, MethodNotAllowed

from contract.errors import ErrorCode, FieldError, ServiceError
from contract.messages import Language, choose_language, describe, describe_field
from contract.schemas import JOB_ID
from contract.telemetry import event_log
from megatts3_server import request_id
from megatts3_server.waiting import ClientGone

log = event_log(__name__)

CONTENT_TYPE = "application/problem+json"
DOCUMENTATION = "/docs#"  # an error's `type` is its place in the API reference


@dataclass(frozen=True)
class Problem:
    """What a code means to HTTP.  `retry_after_s`: said where the error itself does not know better."""

    status: int
    title: str
    retry_after_s: float | None = None


PROBLEMS: Mapping[ErrorCode, Problem] = {
    ErrorCode.MALFORMED_REQUEST: Problem(400, "The request cannot be understood"),
    ErrorCode.CONFLICTING_FIELDS: Problem(400, "Two fields contradict each other"),
    ErrorCode.UNAUTHORIZED: Problem(401, "A valid API key is needed"),
    ErrorCode.FORBIDDEN: Problem(403, "Not allowed"),
    ErrorCode.NOT_FOUND: Problem(404, "Not found"),
    ErrorCode.VOICE_NOT_FOUND: Problem(404, "No such voice"),
    ErrorCode.JOB_NOT_FOUND: Problem(404, "No such job"),
    ErrorCode.METHOD_NOT_ALLOWED: Problem(405, "Method not allowed"),
    ErrorCode.NOT_ACCEPTABLE: Problem(406, "Not acceptable"),
    ErrorCode.CONFLICT: Problem(409, "Conflict"),
    ErrorCode.VOICE_EXISTS: Problem(409, "The voice exists"),
    ErrorCode.CANCELLED: Problem(409, "The job was cancelled"),
    ErrorCode.UPLOAD_TOO_LARGE: Problem(413, "Upload is too large"),
    ErrorCode.ADDRESS_TOO_LONG: Problem(414, "The address is too long"),
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: Problem(415, "The body's type is not supported"),
    ErrorCode.AUDIO_UNREADABLE: Problem(415, "Audio cannot be read"),
    ErrorCode.RANGE_NOT_SATISFIABLE: Problem(416, "Range lies outside the audio"),
    ErrorCode.INVALID_VALUE: Problem(422, "A value cannot be used"),
    ErrorCode.TEXT_TOO_LONG: Problem(422, "Text is too long"),
    ErrorCode.STYLE_NOT_FOUND: Problem(422, "No such style"),
    ErrorCode.AUDIO_TOO_SHORT: Problem(422, "Reference audio is too short"),
    ErrorCode.LATENT_REQUIRED: Problem(422, "A latent is required"),
    ErrorCode.LATENT_INVALID: Problem(422, "The latent cannot be used"),
    ErrorCode.UNSUPPORTED_FORMAT: Problem(422, "Audio format not supported"),
    ErrorCode.RATE_LIMITED: Problem(429, "Too many requests", retry_after_s=2),
    ErrorCode.HEADERS_TOO_LARGE: Problem(431, "The headers are too large"),
    ErrorCode.INTERNAL: Problem(500, "Something went wrong on our side"),
    ErrorCode.SYNTHESIS_FAILED: Problem(500, "Speech could not be made"),
    ErrorCode.NOT_READY: Problem(503, "Not ready yet", retry_after_s=5),
    ErrorCode.QUEUE_FULL: Problem(503, "Too much work waiting", retry_after_s=5),
    ErrorCode.VOICE_NOT_READY: Problem(503, "The voice is being prepared", retry_after_s=5),
    ErrorCode.STORE_UNAVAILABLE: Problem(503, "Temporarily unavailable", retry_after_s=5),
    ErrorCode.WORKER_LOST: Problem(503, "The worker was lost", retry_after_s=5),
    ErrorCode.DEADLINE_EXCEEDED: Problem(504, "Not finished in time"),
    ErrorCode.STORAGE_FULL: Problem(507, "No room left"),
}

DIALECT = "/v1/"  # addresses whose errors have OpenAI's shape
_DIALECT_KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}

_CODE_OF_STATUS: Mapping[int, ErrorCode] = {
    400: ErrorCode.MALFORMED_REQUEST,
    401: ErrorCode.UNAUTHORIZED,
    403: ErrorCode.FORBIDDEN,
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.METHOD_NOT_ALLOWED,
    406: ErrorCode.NOT_ACCEPTABLE,
    409: ErrorCode.CONFLICT,
    410: ErrorCode.NOT_FOUND,
    412: ErrorCode.CONFLICT,
    413: ErrorCode.UPLOAD_TOO_LARGE,
    414: ErrorCode.ADDRESS_TOO_LONG,
    415: ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    416: ErrorCode.RANGE_NOT_SATISFIABLE,
    422: ErrorCode.INVALID_VALUE,
    429: ErrorCode.RATE_LIMITED,
    431: ErrorCode.HEADERS_TOO_LARGE,
    501: ErrorCode.MALFORMED_REQUEST,
    503: ErrorCode.NOT_READY,
    504: ErrorCode.DEADLINE_EXCEEDED,
    507: ErrorCode.STORAGE_FULL,
}


def register(app: flask.Flask) -> None:
    app.register_error_handler(ServiceError, from_service_error)
    app.register_error_handler(HTTPException, from_http_exception)
    app.register_error_handler(ParseException, from_broken_chunks)
    app.register_error_handler(ClientGone, from_client_gone)
    app.register_error_handler(Exception, from_surprise)


def from_service_error(error: ServiceError) -> flask.Response:
    """What we refuse or could not do, in the caller's language."""
    problem = PROBLEMS[error.code]
    if problem.status >= 500:
        log.warning("request_refused", code=error.code.value, job=error.job_id)
    response = _response(error, problem.status, problem.title)
    wait_s = error.retry_after_s if error.retry_after_s is not None else problem.retry_after_s
    if wait_s is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(wait_s)))
    if problem.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def from_http_exception(error: HTTPException) -> flask.Response:
    """What Flask and werkzeug refuse; their headers (Allow, Content-Range …) stay."""
    status = error.code or 500
    if not 400 <= status < 600:  # a redirect: we have none, and a known client turns its POST into GET
        status = 404
    fallback = ErrorCode.MALFORMED_REQUEST if status < 500 else ErrorCode.INTERNAL
    code = _CODE_OF_STATUS.get(status, fallback)
    response = _response(ServiceError(code), status, PROBLEMS[code].title)
    for name, value in error.get_headers(flask.request.environ):
        if name.lower() not in {"content-type", "content-length", "location"}:
            response.headers[name] = value
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


def from_broken_chunks(_error: ParseException) -> flask.Response:
    """The body was to come in chunks and did not; the server says so only when it is read."""
    return from_http_exception(BadRequest())


def from_surprise(error: Exception) -> flask.Response:
    """An error nobody named: logged in full, shown as nothing but the request id."""
    log.exception("unexpected_error", kind=type(error).__name__)  # noqa: LOG004 - Flask calls this inside except
    return from_service_error(ServiceError(ErrorCode.INTERNAL))


def from_client_gone(_error: ClientGone) -> flask.Response:
    """Nobody reads this answer; it only has to be no surprise."""
    return from_service_error(ServiceError(ErrorCode.CANCELLED))


def dialect_error(error: ServiceError, spoken: Language) -> dict[str, object]:
    """The same error as OpenAI's clients read it."""
    status = PROBLEMS[error.code].status
    kind = _DIALECT_KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
    param = error.errors[0].field if error.errors else None
    return {"message": describe(error, spoken), "type": kind, "param": param, "code": error.code.value}


def language() -> Language:
    """The language this request's texts are in."""
    return choose_language(flask.request.headers.get("Accept-Language"))


def _response(error: ServiceError, status: int, title: str) -> flask.Response:
    flask.g.error_code = error.code.value  # for request_metrics.py
    spoken = language()
    detail = describe(error, spoken)
    members: dict[str, Any] = {  # Any: JSON
        "type": f"{DOCUMENTATION}{error.code.value}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": quote(flask.request.path),
        "error": detail,
        "error_code": error.code.value,
        "request_id": request_id.current(),
    }
    if error.errors:
        members["errors"] = [_field(e, spoken) for e in error.errors]
    if error.job_id is not None:
        members["job_id"] = error.job_id
    if error.retry_after_s is not None:
        members["retry_after_s"] = round(error.retry_after_s, 3)
    if flask.request.path.startswith(DIALECT):
        dialect = {"error": dialect_error(error, spoken), "request_id": request_id.current()}
        response = flask.Response(flask.json.dumps(dialect), status=status, mimetype="application/json")
    else:
        response = flask.Response(flask.json.dumps(members), status=status, mimetype=CONTENT_TYPE)
    response.headers["Content-Language"] = spoken.value
    if error.job_id is not None and JOB_ID.fullmatch(error.job_id):  # a stranger's may be no header
        response.headers["X-Job-ID"] = error.job_id
    return response


def _field(error: FieldError, spoken: Language) -> dict[str, str]:
    return {**error.to_dict(), "message": describe_field(error, spoken)}
