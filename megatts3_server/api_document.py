"""The OpenAPI 3.1 document: made by flask-smorest from the marshmallow schemas that validate."""

from typing import Any

import flask
import marshmallow as ma
from flask_smorest import Api
from marshmallow import fields

from contract.wire_fields import Choice, JsonObject, Number, Text, Truth, WholeNumber
from contract.wire_schemas import ALIASES, SpeechSchema
from contract.wire_voices import CLEARABLE, VoiceChangesSchema
from megatts3_server import body_schemas, document_headers, problems, route_errors
from megatts3_server.version import VERSION

Json = dict[str, Any]  # Any: what JSON holds
_EXTENSION = "megatts3-api"


class ProblemFieldSchema(ma.Schema):
    field = fields.String(required=True)
    message = fields.String(required=True)
    limit = fields.String()
    problem = fields.String()


class ProblemSchema(ma.Schema):
    """RFC 9457, and the members that older clients read."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    instance = fields.String(required=True)
    error = fields.String(required=True)
    error_code = fields.String(required=True)
    request_id = fields.String(required=True)
    errors = fields.List(fields.Nested(ProblemFieldSchema))
    job_id = fields.String()
    retry_after_s = fields.Float()


class ProblemApi(Api):  # type: ignore[misc] # flask-smorest ships no types
    """smorest's Api, with our errors in its document and its own error handlers left out."""

    ERROR_SCHEMA = ProblemSchema

    def _register_error_handlers(self) -> None:
        """Errors are problems.py's alone."""

    def _register_responses(self) -> None:
        """One error for every operation, under the content type it really has."""
        content = {problems.CONTENT_TYPE: {"schema": self.ERROR_SCHEMA}}
        response = {"description": "What went wrong, as application/problem+json", "content": content}
        self.spec.components.response(self.DEFAULT_ERROR_RESPONSE_NAME, response, lazy=True)


def create(app: flask.Flask) -> ProblemApi:
    app.config.update(API_TITLE="MegaTTS 3 server", API_VERSION=VERSION, OPENAPI_VERSION="3.1.0")
    api = ProblemApi(app)
    for kind, name in ((Number, "number"), (WholeNumber, "integer"), (Text, "string"), (Choice, "string")):
        api.register_field(kind, name, None)
    api.register_field(Truth, "boolean", None)
    api.register_field(JsonObject, "object", None)
    api.ma_plugin.converter.add_attribute_function(_limits)
    api.ma_plugin.converter.add_attribute_function(_aliases)
    api.spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer"})
    api.spec.components.security_scheme("header", {"type": "apiKey", "in": "header", "name": "X-API-Key"})
    app.extensions[_EXTENSION] = api
    return api


def document() -> Json:
    """The document of the current app."""
    api: ProblemApi = flask.current_app.extensions[_EXTENSION]
    found: Json = api.spec.to_dict()
    for schema in found["components"]["schemas"].values():
        if schema.get("additionalProperties") is False:  # marshmallow's default: no such refusal is ours
            del schema["additionalProperties"]
    for name, choices in body_schemas.ONE_OF_THESE.items():
        found["components"]["schemas"][name]["anyOf"] = [{"required": [choice]} for choice in choices]
    for name, choices in body_schemas.ONLY_ONE_OF_THESE.items():
        found["components"]["schemas"][name]["oneOf"] = [{"required": [choice]} for choice in choices]
    found["components"]["headers"] = document_headers.components()
    return {
        **found,
        "x-errors": route_errors.catalogue(),
        "security": [{}, {"bearer": []}, {"header": []}],  # {}: a service without keys is open
    }


def _limits(_converter: object, field: fields.Field[Any], **_: object) -> Json:
    """Ranges and choices of our own fields, in JSON Schema's words."""
    if isinstance(field, Number | WholeNumber):
        return {"minimum": field.low, "maximum": field.high}
    if isinstance(field, Choice):
        return {"enum": [member.value for member in field.enum]}
    if isinstance(field, Text):
        length = {} if field.max_length is None else {"maxLength": field.max_length}
        in_changes = isinstance(field.parent, VoiceChangesSchema) and field.name not in CLEARABLE
        is_needed = not field.strip or in_changes  # any other that says nothing counts as absent
        return {"minLength": 1, "pattern": r"\S", **length} if is_needed else length
    return {}


def _aliases(_converter: object, field: fields.Field[Any], **_: object) -> Json:
    """Other spellings of a field that are understood."""
    spellings = ALIASES.get(field.name or "", ()) if isinstance(field.parent, SpeechSchema) else ()
    return {"x-aliases": list(spellings)} if spellings else {}
