"""Two plain HTML pages, the studio (studio.html) and the API reference.  Neither asks another host."""

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

from contract.errors import ErrorCode
from contract.messages import Language, describe_code
from megatts3_server.problems import Problem

Json = Mapping[str, Any]  # Any: what JSON holds

_STYLE = """
body{font:16px/1.55 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2430;
background:#fff}h1,h2,h3{line-height:1.2}code,pre{font:14px/1.45 ui-monospace,monospace}
pre{background:#f3f5f8;padding:1rem;overflow:auto;border-radius:6px}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #dde2ea;vertical-align:top}
.m{display:inline-block;min-width:4.5rem;font-weight:600}section{margin:1.6rem 0}
@media (prefers-color-scheme:dark){body{background:#14181f;color:#dfe5ee}pre{background:#1f2530}
th,td{border-color:#323b49}a{color:#8ab4ff}}
"""


def start(version: str) -> str:
    """What a person sees at `/`: the studio, which is one file and asks no other host."""
    page = resources.files(__package__).joinpath("studio.html").read_text("utf-8")
    return page.replace("{{version}}", html.escape(version))


def reference(document: Json, problems: Mapping[ErrorCode, Problem]) -> str:
    """Every operation of the OpenAPI document, then every error."""
    operations = "".join(_operations(document))
    rows = "".join(
        f'<tr id="{code.value}"><td><code>{code.value}</code></td><td>{problem.status}</td>'
        f"<td>{html.escape(problem.title)}</td><td>{html.escape(describe_code(code, Language.ZH))}</td></tr>"
        for code, problem in problems.items()
    )
    body = (
        f"<h1>{html.escape(document['info']['title'])}</h1>"
        '<p><a href="/openapi.json">OpenAPI document</a></p>'
        f"{operations}<h2>Errors</h2><p>Every error is <code>application/problem+json</code>.</p>"
        f"<table><tr><th>error_code</th><th>status</th><th>title</th><th>中文</th></tr>{rows}</table>"
    )
    return _page("MegaTTS 3 API", body)


def _operations(document: Json) -> Iterator[str]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if not isinstance(operation, Mapping):  # parameters shared by the path's operations
                continue
            name, where = method.upper(), html.escape(path)
            yield f'<section><h3><span class="m">{name}</span> <code>{where}</code></h3>'
            yield f"<p>{html.escape(operation.get('summary', ''))}</p>"
            yield _parameters([*methods.get("parameters", ()), *operation.get("parameters", ())])
            for content_type, content in operation.get("requestBody", {}).get("content", {}).items():
                schema = _resolved(document, content.get("schema", {}))
                yield f"<p>Body <code>{content_type}</code></p>{_fields(schema)}"
            responses = {str(s): r for s, r in operation.get("responses", {}).items() if s != "default"}
            headers = {h: None for s, r in responses.items() if s < "400" for h in r.get("headers", {})}
            yield f"<p>Answers: {html.escape(', '.join(responses))}</p>"
            yield f"<p>Headers of answers: {html.escape(', '.join(headers))}</p></section>"


def _parameters(parameters: Sequence[Json]) -> str:
    rows = []
    for about in parameters:
        limits = {k: v for k, v in about.get("schema", {}).items() if k != "type"}
        shown = json.dumps(limits, ensure_ascii=False) if limits else ""
        cells = (about["name"], about["in"], shown, about.get("description", ""))
        rows.append("".join(f"<td>{html.escape(cell)}</td>" for cell in cells))
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>" if rows else ""


def _resolved(document: Json, schema: Json) -> Json:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: Json = document["components"]["schemas"][name] if name else schema
    return found


def _fields(schema: Json) -> str:
    rows = []
    for name, about in schema.get("properties", {}).items():
        limits = {k: v for k, v in about.items() if k not in {"type", "description", "format", "x-limit"}}
        shown = json.dumps(limits, ensure_ascii=False) if limits else ""
        cells = (name, str(about.get("type", "")), shown, about.get("description", ""))
        rows.append("".join(f"<td>{html.escape(cell)}</td>" for cell in cells))
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>" if rows else ""


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>{body}</body></html>"
    )
