"""The requests of scripts/fuzz.py: from the OpenAPI document, right, wrong and extreme, some broken on purpose."""

import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "server")]

from api_service import npy_bytes, wav_bytes  # noqa: E402

WORDS = (
    *("", " ", "a", "你好，世界。", "None", "null", "32.0", "-1", "1e999", "NaN", "true", "../../etc/passwd"),
    *(
        "\x00",
        "'\";--",
        "\ud7ff\ue000",
        "🙂" * 50,
        "x" * 5000,
        "%00",
        "{}",
        "[]",
        "default",
        "voice_001",
        "fuzz",
        "happy",
    ),
)
NUMBERS: tuple[object, ...] = (0, -1, 1, 2**63, -(2**63), 10**400, 0.1, 1e308)
VALUES: tuple[object, ...] = (*WORDS, *NUMBERS, None, True, False, [], {}, [[]], {"a": {}})
OPTIONS = (
    *("Accept", "Prefer", "Range", "If-None-Match", "Accept-Language", "Idempotency-Key", "X-Request-ID"),
    *("Authorization", "Content-Encoding", "Origin", "X-Forwarded-For"),
)
OPTION_VALUES = (
    *("application/json", "audio/wav;q=0.1, */*", "respond-async", "wait=0", "wait=1", "bytes=0-3", "bytes=99999-"),
    *("bytes=-0", "bytes=a-b", "*", "zh;q=2, en", "zh-CN", "", "a" * 300, "Bearer x", "gzip", "\xe9\xff", "null"),
)
VOICES = ("default", "voice_001", "alloy", "nova", *(f"fuzz{n}" for n in range(20)))
MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts", "tts-9")
SENTENCES = ("你好。", "Hello there.", "今天 is 32.5 度。", "a" * 900)
BODY_TYPES = ("application/json", "application/json", "text/plain", "application/x-www-form-urlencoded", "image/png")
PART_TYPES = ("audio/wav", "text/plain; charset=utf-16", "application/json", "x", "multipart/mixed")
FILE_NAMES = ("a.wav", "", "参考.wav", "../a", 'q"q', "%2e%2e")
GOOD_CLIP = wav_bytes(0.48)  # as long as the latent beside it
_MEANT_WELL = 0.5  # of requests, and of the names in their addresses
_BATCHES = 0.5  # of jobs that are meant well
_NOT_ALONE = frozenset({"stream", "stream_format", "strict", "deadline_s", "webhook_url"})
CLIPS = (
    *(wav_bytes(0.3), b"fLaC" + bytes(200), b"ID3" + bytes(50), b"\0\0\0\x20ftypM4A "),
    *(b"RIFF", b"", bytes(2000)),
)
LATENTS = (
    *(npy_bytes(), npy_bytes((3, 31)), npy_bytes(value=float("nan"))),
    *(b"\x93NUMPY\x01\x00\xff\xff{", b"\x80\x04."),
)


@dataclass(frozen=True)
class Shot:
    """One request."""

    method: str
    path: str
    template: str | None  # of the document; None: no address of ours
    body: bytes
    headers: dict[str, str]


class Maker:
    """Requests from the document; one per client, with its own randomness."""

    def __init__(self, document: dict[str, Any], seed: int) -> None:
        self._document, self._random = document, random.Random(seed)
        self._job_ids, self._batch_ids = ["job_1"], ["job_1"]
        self._operations = [
            (method.upper(), path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if isinstance(operation, dict) and "responses" in operation
        ]

    def heard(self, answer: Any) -> None:  # Any: JSON
        """An answer; a job it names is asked for later, too."""
        job_id = answer.get("id", answer.get("job_id")) if isinstance(answer, dict) else None
        if isinstance(job_id, str) and job_id.startswith("job_"):
            self._job_ids = [*self._job_ids[-19:], job_id]
            progress = answer.get("progress")
            if isinstance(progress, dict) and "items_total" in progress:
                self._batch_ids = [*self._batch_ids[-19:], job_id]

    def shot(self) -> Shot:
        pick = self._random
        method, template, operation = pick.choice(self._operations)
        if pick.random() < 0.02:
            template = None  # type: ignore[assignment]
        path = self._path(template or f"/{quote(pick.choice(WORDS), safe='')}/{pick.randrange(9)}")
        if operation.get("parameters") and pick.random() < 0.6:
            names = [p["name"] for p in operation["parameters"] if p.get("in") == "query"] or ["x"]
            path += "?" + "&".join(f"{n}={quote(str(pick.choice((*WORDS, 1, 0)))[:300])}" for n in names)
            path = path.replace("wait=1", "wait=0")
        headers = {n: pick.choice(OPTION_VALUES) for n in OPTIONS if pick.random() < 0.08}
        if pick.random() < 0.05:
            method = pick.choice(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "FUZZ"))
            template = None  # what a wrong method answers is in no operation
        body = b""
        if "requestBody" in operation:
            content = operation["requestBody"]["content"]
            if template is not None and pick.random() < _MEANT_WELL:
                body, headers["Content-Type"] = self._meant_well(content)
            else:
                body, headers["Content-Type"] = self._body(content)
        return Shot(method, path, template, body, headers)

    def _path(self, template: str) -> str:
        pick, path = self._random, template
        job_ids = self._batch_ids if "/items/" in template else self._job_ids
        known = {"job_id": job_ids, "model": MODELS, "voice_id": VOICES, "name": VOICES, "index": ("0", "1", "2")}
        while "{" in path:
            before, _, rest = path.partition("{")
            name, _, rest = rest.partition("}")
            names = known[name] if pick.random() < _MEANT_WELL else (*WORDS[3:], "voice_1", "a" * 200)
            path = before + quote(pick.choice(names), safe="") + rest
        return path

    def _meant_well(self, content: dict[str, Any]) -> tuple[bytes, str]:
        """A body that deserves to be served, some fields of it at the edge of their ranges."""
        pick = self._random
        kind = pick.choice(list(content))
        known = self._properties(content[kind]["schema"])
        fields = self._meant_fields(known)
        if kind == "application/json":
            return json.dumps(fields).encode(), kind
        clip = next((name for name in known if name in {"voice_file", "audio_sample"}), None)
        files = [] if clip is None else [(clip, GOOD_CLIP)]
        if "voice_latent" in known and pick.random() < 0.3:
            files.append(("voice_latent", npy_bytes()))
        parts = [self._plain_part(name, _as_text(value)) for name, value in fields.items()]
        parts += [self._plain_part(name, data, pick.choice(FILE_NAMES[:3])) for name, data in files]
        return b"--b\r\n" + b"\r\n--b\r\n".join(parts) + b"\r\n--b--\r\n", "multipart/form-data; boundary=b"

    def _meant_fields(self, known: dict[str, Any]) -> dict[str, Any]:
        pick = self._random
        fields: dict[str, Any] = {}
        for name, about in known.items():
            if name in {"text", "input"}:
                fields[name] = pick.choice(SENTENCES)
            elif name in {"voice_id", "voice"}:
                fields[name] = pick.choice(VOICES)
            elif name in {"name", "consent", "description"}:
                fields[name] = f"{name} {pick.randrange(20)}"
            elif name == "model":
                fields[name] = pick.choice(MODELS)
            elif name == "replace":
                fields[name] = True
            elif pick.random() < 0.2 and name not in _NOT_ALONE:
                fields |= self._fitting(name, about)
        if "items" in known and pick.random() < _BATCHES:
            text, count = fields.pop("text"), pick.choice((1, 2, 3))
            fields["items"] = [self._item(text) for _ in range(count)]
        return fields

    def _item(self, text: str) -> object:
        pick = self._random
        return pick.choice((text, {"text": text}, {"text": text, "voice_id": pick.choice(VOICES[:2])}))

    def _fitting(self, name: str, about: dict[str, Any]) -> dict[str, Any]:
        pick = self._random
        if "enum" in about:
            return {name: pick.choice(about["enum"])}
        if "minimum" in about and "maximum" in about:
            return {name: pick.choice((about["minimum"], about["maximum"]))}
        return {name: True} if about.get("type") == "boolean" else {}

    @staticmethod
    def _plain_part(name: str, data: bytes, filename: str | None = None) -> bytes:
        tail = "" if filename is None else f'; filename="{filename}"'
        return f'Content-Disposition: form-data; name="{name}"{tail}\r\n\r\n'.encode() + data

    def _properties(self, schema: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in schema:
            schema = self._document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        found: dict[str, Any] = schema.get("properties", {})
        return found

    def _body(self, content: dict[str, Any]) -> tuple[bytes, str]:
        pick = self._random
        kind = pick.choice(list(content))
        fields = self._fields(content[kind]["schema"])
        way = pick.random()
        if way < 0.35 or (kind != "multipart/form-data" and way < 0.7):
            data = json.dumps(fields).encode()
            if pick.random() < 0.15:
                data = self._broken(data)
            return data, pick.choice(BODY_TYPES)
        if way < 0.45:
            pairs = "&".join(
                f"{quote(str(n), errors='replace')}={quote(str(v), errors='replace')}" for n, v in fields.items()
            )
            return pairs.encode(), "application/x-www-form-urlencoded"
        return self._multipart(fields)

    def _fields(self, schema: dict[str, Any]) -> dict[str, Any]:
        pick = self._random
        found: dict[str, Any] = {}
        for name, about in self._properties(schema).items():
            if name in {"text", "input", "voice_id", "voice"} and pick.random() < 0.8:
                found[name] = "你好。" if name in {"text", "input"} else pick.choice(VOICES)
            elif pick.random() < 0.25:
                found[name] = self._value(about)
        if pick.random() < 0.2:
            found["parameters"] = {str(pick.choice(WORDS)): pick.choice(VALUES)}
        if pick.random() < 0.1:
            found[str(pick.choice(WORDS))] = pick.choice(VALUES)
        return found

    def _value(self, about: dict[str, Any]) -> object:
        pick = self._random
        if pick.random() < 0.5:
            return pick.choice(VALUES)
        if "enum" in about:
            return pick.choice(about["enum"])
        low, high = about.get("minimum"), about.get("maximum")
        if low is not None and high is not None:
            return pick.choice((low, high, low - 1, high + 1, (low + high) / 2, str(low), str(high)))
        return "x" * pick.choice((1, 10, about.get("maxLength", 100), about.get("maxLength", 100) + 1))

    def _multipart(self, fields: dict[str, Any]) -> tuple[bytes, str]:
        pick = self._random
        boundary = pick.choice(("b", "----WebKitFormBoundaryx", "a" * 70, "x'y"))
        parts = []
        for name, value in fields.items():
            data = value if isinstance(value, str) else json.dumps(value)
            parts.append(self._part(str(name), data.encode("utf-8", "replace"), None))
        clip = pick.choice(("voice_file", "voice_file", "audio_sample", "reference_audio"))
        for name, kinds in ((clip, CLIPS), ("voice_latent", LATENTS)):
            for _ in range(pick.choice((0, 1, 1, 1, 2))):
                parts.append(self._part(name, pick.choice(kinds), pick.choice(FILE_NAMES)))
        pick.shuffle(parts)
        mark = b"--" + boundary.encode() + b"\r\n"
        body = b"".join(mark + part for part in parts) + b"--" + boundary.encode() + b"--\r\n"
        if pick.random() < 0.3:
            body = self._broken(body)
        said = pick.choice(
            (f"boundary={boundary}",) * 8 + (f'boundary="{boundary}"', "boundary=", "", "boundary=other")
        )
        return body, f"multipart/form-data; {said}"

    def _part(self, name: str, data: bytes, filename: str | None) -> bytes:
        pick = self._random
        line = f'Content-Disposition: form-data; name="{name[:300]}"'
        if filename is not None:
            line += pick.choice((f'; filename="{filename}"', f"; filename*=utf-8''{quote(filename)}", ""))
        if pick.random() < 0.4:
            line += "\r\nContent-Type: " + pick.choice(PART_TYPES)
        if pick.random() < 0.05:
            line = pick.choice(
                ("", "Content-Disposition: form-data", "Content-Disposition", "X" * 3000 + ": y", line + "\r\n" + line)
            )
        return line.encode("utf-8", "replace") + b"\r\n\r\n" + data + b"\r\n"

    def _broken(self, data: bytes) -> bytes:
        pick, at = self._random, self._random.randrange(len(data) + 1)
        return pick.choice(
            (
                data[:at],
                data[at:],
                data[:at] + bytes([pick.randrange(256)]) + data[at:],
                data[:at] + bytes(pick.randrange(256) for _ in range(20)) + data[at + 20 :],
                data.replace(b"\r\n", b"\n"),
                data + data,
                b"[" * 2000 + data,
            )
        )


def _as_text(value: object) -> bytes:
    return (json.dumps(value) if isinstance(value, list) else str(value)).encode()
