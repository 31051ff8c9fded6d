"""The URL table: every route of the product in one list."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import flask
import marshmallow as ma
from flask_smorest import Blueprint

from contract.api_keys import Scope
from contract.errors import ErrorCode
from contract.schemas import JobStatus, Priority
from megatts3_server import answer_schemas as answers
from megatts3_server import auth, body_schemas, document_headers, openai_schemas, problems, rate_limit, route_errors
from megatts3_server.api_document import ProblemApi, ProblemSchema
from megatts3_server.routes import about, health, jobs, openai, plans, speech, voices

View = Callable[..., flask.Response]
Content = Mapping[str, Any]  # Any: OpenAPI's own tree

_JSON = "application/json"
_AUDIO: Content = {"audio/*": {"schema": {"type": "string", "format": "binary"}}}
_EVENTS: Content = {"text/event-stream": {"schema": {"description": "Server-sent events"}}}
_PAGE: Content = {"text/html": {"schema": {"type": "string"}}}


@dataclass(frozen=True)
class Route:
    """One URL and method.  `bodies`: schema by content type; `gives`: content by status."""

    method: str
    rule: str
    view: View
    tag: str
    gives: Mapping[HTTPStatus, Content]
    bodies: Mapping[str, type[ma.Schema]] = field(default_factory=dict)
    query: tuple[str, ...] = ()
    is_limited: bool = True

    @property
    def scope(self) -> Scope:
        """What an API key must be allowed."""
        if self.method == "GET":
            return Scope.READ
        return Scope.VOICES if "voices" in self.rule.split("/") else Scope.SYNTHESIZE

    @property
    def is_speech(self) -> bool:
        """Does it answer with speech made for the request?"""
        return self.gives is _SPEECH

    @property
    def ranges(self) -> bool:
        """Does it send stored audio?"""
        return HTTPStatus.PARTIAL_CONTENT in self.gives

    @property
    def errors(self) -> tuple[ErrorCode, ...]:
        """What can go wrong here, for the document."""
        return route_errors.codes_of(
            self.rule,
            method=self.method,
            tag=self.tag,
            bodies=self.bodies,
            query=self.query,
            is_limited=self.is_limited,
            ranges=self.ranges,
        )


def _json(schema: type[ma.Schema]) -> Content:
    return {_JSON: {"schema": schema}}


_SPEECH: Mapping[HTTPStatus, Content] = {
    HTTPStatus.OK: {**_AUDIO, **_EVENTS, **_json(answers.SpeechAnswerSchema)},
    HTTPStatus.ACCEPTED: _json(answers.JobAnswerSchema),
}
_PLAN: Mapping[HTTPStatus, Content] = {HTTPStatus.OK: _json(answers.PlanSchema)}
_RANGES: Mapping[HTTPStatus, Content] = {
    HTTPStatus.OK: _AUDIO,
    HTTPStatus.PARTIAL_CONTENT: _AUDIO,
    HTTPStatus.NOT_MODIFIED: {},
}
_TIMES: Mapping[HTTPStatus, Content] = {
    HTTPStatus.OK: {
        **_json(answers.JobTimesSchema),
        "application/x-subrip": {"schema": {"type": "string"}},
        "text/vtt": {"schema": {"type": "string"}},
    }
}
_JOB_EVENTS: Mapping[HTTPStatus, Content] = {HTTPStatus.OK: _EVENTS}
_NO_JOB = {HTTPStatus.OK: _json(answers.JobDeletedSchema)}
_OK_JOB = {HTTPStatus.OK: _json(answers.JobAnswerSchema)}
_OK_ITEM = {HTTPStatus.OK: _json(answers.JobItemSchema)}
_OK_VOICE = {HTTPStatus.OK: _json(answers.VoiceAnswerSchema)}
_NEW_VOICE = {HTTPStatus.CREATED: _json(answers.VoiceCreatedSchema)}
_HEALTH = {
    HTTPStatus.OK: _json(answers.HealthSchema),
    HTTPStatus.SERVICE_UNAVAILABLE: _json(answers.HealthSchema),
}
_LIVE = {HTTPStatus.OK: {_JSON: {"schema": {"type": "object"}}}}
_OK_VOICES = {HTTPStatus.OK: _json(openai_schemas.DialectVoiceListSchema)}
_NEW_DIALECT_VOICE = {HTTPStatus.OK: _json(openai_schemas.DialectVoiceAnswerSchema)}
_NO_VOICE = {HTTPStatus.OK: _json(openai_schemas.DialectVoiceDeletedSchema)}
_PROBLEM: tuple[str, type[ma.Schema]] = (problems.CONTENT_TYPE, ProblemSchema)
_DIALECT_ERROR = {
    "description": "What went wrong, as OpenAI's clients read it",
    "content": _json(openai_schemas.DialectErrorSchema),
}


QUERIES: Mapping[str, Content] = {
    "status": {"schema": {"type": "string", "enum": [status.value for status in JobStatus]}},
    "created_from": {"schema": {"type": "string"}, "description": "At or after: RFC 3339, or Unix seconds"},
    "created_before": {"schema": {"type": "string"}, "description": "Before: as created_from"},
    "voice_id": {"schema": {"type": "string"}, "description": "Spoken with this voice, be it by one item"},
    "priority": {"schema": {"type": "string", "enum": [priority.value for priority in Priority]}},
    "limit": {"schema": {"type": "integer", "minimum": 1, "maximum": 200}},
    "cursor": {
        "schema": {"type": "string", "pattern": "^[0-9]+\\.[0-9]+_[A-Za-z0-9_-]{1,64}$"},
        "description": "`next_cursor` of the page before",
    },
    "wait": {"schema": {"type": "number", "minimum": 0}, "description": "Seconds to wait for a change"},
    "format": {"schema": {"type": "string", "enum": ["json", "srt", "vtt"]}},
    "style": {"schema": {"type": "string"}, "description": "One of the voice's `styles`"},
}

ROUTES: tuple[Route, ...] = (
    Route("GET", "/", about.start_page, "about", {HTTPStatus.OK: _PAGE}, is_limited=False),
    Route("GET", "/docs", about.docs, "about", {HTTPStatus.OK: _PAGE}, is_limited=False),
    Route("GET", "/openapi.json", about.openapi, "about", _LIVE, is_limited=False),
    Route("GET", "/api/v1/info", about.info, "about", {HTTPStatus.OK: _json(answers.FactsSchema)}),
    Route("GET", "/api/v1/models", about.models, "about", {HTTPStatus.OK: _json(answers.ModelsSchema)}),
    Route("GET", "/api/v1/capacity", about.capacity, "about", {HTTPStatus.OK: _json(answers.CapacitySchema)}),
    Route("GET", "/health", health.health, "health", _HEALTH, is_limited=False),
    Route("GET", "/health/live", health.live, "health", _LIVE, is_limited=False),
    Route("GET", "/health/ready", health.ready, "health", _HEALTH, is_limited=False),
    Route("POST", "/api/v1/tts/synthesize", speech.synthesize, "speech", _SPEECH, body_schemas.SPEECH),
    Route("POST", "/api/v1/tts/synthesize_file", speech.synthesize_file, "speech", _SPEECH, body_schemas.SPEECH),
    Route("POST", "/api/v1/tts/plan", plans.plan_speech, "speech", _PLAN, body_schemas.SPEECH),
    Route(
        "POST",
        "/api/v1/jobs",
        jobs.submit_job,
        "jobs",
        {HTTPStatus.ACCEPTED: _json(answers.JobAnswerSchema)},
        body_schemas.JOB,
    ),
    Route(
        "GET",
        "/api/v1/jobs",
        jobs.list_jobs,
        "jobs",
        {HTTPStatus.OK: _json(answers.JobListSchema)},
        query=("status", "created_from", "created_before", "voice_id", "priority", "limit", "cursor"),
    ),
    Route("GET", "/api/v1/jobs/<job_id>", jobs.show_job, "jobs", _OK_JOB, query=("wait",)),
    Route("DELETE", "/api/v1/jobs/<job_id>", jobs.delete_job, "jobs", _NO_JOB),
    Route("GET", "/api/v1/jobs/<job_id>/audio", jobs.job_audio, "jobs", _RANGES),
    Route("GET", "/api/v1/jobs/<job_id>/timestamps", jobs.job_times, "jobs", _TIMES, query=("format",)),
    Route("GET", "/api/v1/jobs/<job_id>/items/<index>", jobs.show_item, "jobs", _OK_ITEM),
    Route("GET", "/api/v1/jobs/<job_id>/items/<index>/audio", jobs.item_audio, "jobs", _RANGES),
    Route(
        "GET",
        "/api/v1/jobs/<job_id>/items/<index>/timestamps",
        jobs.item_times,
        "jobs",
        _TIMES,
        query=("format",),
    ),
    Route("GET", "/api/v1/jobs/<job_id>/events", jobs.job_events, "jobs", _JOB_EVENTS),
    Route("POST", "/api/v1/voices/upload", voices.upload_voice, "voices", _NEW_VOICE, body_schemas.VOICE),
    Route("POST", "/api/v1/voices", voices.upload_voice, "voices", _NEW_VOICE, body_schemas.VOICE),
    Route("GET", "/api/v1/voices", voices.list_voices, "voices", {HTTPStatus.OK: _json(answers.VoiceListSchema)}),
    Route("GET", "/api/v1/voices/<voice_id>", voices.show_voice, "voices", _OK_VOICE),
    Route("PATCH", "/api/v1/voices/<voice_id>", voices.change_voice, "voices", _OK_VOICE, body_schemas.VOICE_CHANGES),
    Route(
        "DELETE",
        "/api/v1/voices/<voice_id>",
        voices.delete_voice,
        "voices",
        {HTTPStatus.OK: _json(answers.VoiceErasedSchema)},
        query=("style",),
    ),
    Route("GET", "/api/v1/voices/<voice_id>/audio", voices.voice_audio, "voices", _RANGES, query=("style",)),
    Route("POST", "/v1/audio/speech", openai.create_speech, "openai", _SPEECH, openai_schemas.SPEECH),
    Route("GET", "/v1/models", openai.list_models, "openai", {HTTPStatus.OK: _json(openai_schemas.ModelListSchema)}),
    Route(
        "GET",
        "/v1/models/<model>",
        openai.show_model,
        "openai",
        {HTTPStatus.OK: _json(openai_schemas.ModelSchema)},
    ),
    Route("GET", "/v1/audio/voices", openai.list_audio_voices, "openai", _OK_VOICES),
    Route("POST", "/v1/audio/voices", openai.create_audio_voice, "openai", _NEW_DIALECT_VOICE, openai_schemas.VOICE),
    Route("DELETE", "/v1/audio/voices/<name>", openai.delete_audio_voice, "openai", _NO_VOICE),
)


def register(api: ProblemApi) -> None:
    """Put the table into the app and into its OpenAPI document."""
    for tag in dict.fromkeys(route.tag for route in ROUTES):
        blueprint = Blueprint(tag, __name__)
        for route in ROUTES:
            if route.tag == tag:
                _add(blueprint, route)
        api.register_blueprint(blueprint)


def tell_methods(response: flask.Response) -> flask.Response:
    """`Allow` of an OPTIONS answer: this address's own methods, not those of a pattern that it fits as well."""
    rule = flask.request.url_rule
    if flask.request.method == "OPTIONS" and rule is not None:
        methods = {route.method for route in ROUTES if route.rule == rule.rule}
        response.headers["Allow"] = ", ".join(sorted({*methods, "OPTIONS", *({"HEAD"} if "GET" in methods else ())}))
    return response


def _add(blueprint: Blueprint, route: Route) -> None:
    documented = auth.needs(route.scope)(blueprint.doc(**_documentation(route))(route.view))
    view = documented if route.is_limited else rate_limit.exempt(documented)
    endpoint = f"{route.method.lower()}_{route.rule.strip('/').replace('/', '_').replace('<', '').replace('>', '')}"
    blueprint.add_url_rule(route.rule, endpoint.replace(".", "_") or "root", view, methods=[route.method])


def _documentation(route: Route) -> dict[str, Any]:  # Any: OpenAPI's own tree
    told: dict[str, Any] = {
        "operationId": _operation_id(route),
        "responses": {
            str(status.value): {
                "description": status.phrase,
                **({"content": dict(content)} if content else {}),
            }
            for status, content in route.gives.items()
        },
    }
    is_dialect = route.rule.startswith(problems.DIALECT)
    content_type, schema = (_JSON, openai_schemas.DialectErrorSchema) if is_dialect else _PROBLEM
    for status, response in route_errors.responses(route.errors, schema, content_type=content_type).items():
        told["responses"].setdefault(status, response)
    if is_dialect:
        told["responses"]["default"] = _DIALECT_ERROR
    if route.bodies:
        content = {kind: {"schema": schema} for kind, schema in route.bodies.items()}
        told["requestBody"] = {"required": True, "content": content}
    told["parameters"] = [
        {"in": "query", "name": name, "required": False, **QUERIES.get(name, {"schema": {"type": "string"}})}
        for name in route.query
    ]
    _add_headers(route, told)
    return told


def _add_headers(route: Route, told: dict[str, Any]) -> None:  # Any: as above
    told["parameters"] += document_headers.parameters(
        is_speech=route.is_speech,
        makes_job=route.rule == "/api/v1/jobs" and route.method == "POST",
        shows_job="wait" in route.query,
        ranges=route.ranges,
    )
    for status, response in told["responses"].items():
        if status != "default":
            headers = document_headers.of_answer(
                int(status),
                is_speech=route.is_speech,
                ranges=route.ranges,
                takes_body=bool(route.bodies),
                is_limited=route.is_limited,
                of_job=route.is_speech or "<job_id>" in route.rule,
            )
            response["headers"] = headers | response.get("headers", {})


def _operation_id(route: Route) -> str:
    """The view's name; a view with several URLs keeps it at the first."""
    first = next(other for other in ROUTES if other.view is route.view)
    tail = "" if first is route else f"_at_{route.rule.rsplit('/', 1)[-1]}"
    return route.view.__name__ + tail
