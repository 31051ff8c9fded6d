"""A stand-in for a model hub on an ephemeral loopback port: the few answers a download asks for, and ways to fail."""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c0ffee" + "0" * 34


@dataclass
class Repository:
    """files: path → bytes; served: what is sent in their place; missing: listed, and 404 when asked for."""

    files: dict[str, bytes]
    licence: str | None = "apache-2.0"
    commit: str = COMMIT
    main: str = COMMIT  # what the branch of that name is
    served: dict[str, bytes] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)


@dataclass
class Hub:
    """cut: path → bytes after which the connection breaks, and stays broken until `cut` is emptied."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)  # method, path, Range
    url: str = ""

    def __enter__(self):
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                hub.answer(self, with_body=True)

            def do_HEAD(self):
                hub.answer(self, with_body=False)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def ranges_of(self, path):
        return [span for method, asked, span in self.asked if method == "GET" and asked.endswith(path)]

    def answer(self, request, *, with_body):
        path = request.path.split("?")[0]
        self.asked.append((request.command, path, request.headers.get("Range")))
        if path.startswith("/api/models/"):
            owner, name, *rest = path.removeprefix("/api/models/").split("/")
            revision = rest[1] if rest[:1] == ["revision"] else "main"
            self._describe(request, f"{owner}/{name}", revision)
            return
        owner, name, *parts = path.strip("/").split("/")
        if parts[:1] != ["resolve"]:
            self._fail(request, "EntryNotFound")
            return
        self._file(request, f"{owner}/{name}", "/".join(parts[2:]), with_body=with_body)

    def _describe(self, request, name, revision):
        repository = self.repositories.get(name)
        if repository is None:
            self._fail(request, "RepoNotFound")
        elif (repository.main if revision == "main" else revision) != repository.commit:
            self._fail(request, "RevisionNotFound")
        else:
            siblings = [_sibling(path, data) for path, data in repository.files.items()]
            about = {"id": name, "modelId": name, "sha": repository.commit, "siblings": siblings, "tags": []}
            if repository.licence:
                about["cardData"] = {"license": repository.licence}
            _send(request, 200, json.dumps(about).encode(), {"Content-Type": "application/json"})

    def _file(self, request, name, path, *, with_body):
        repository = self.repositories[name]
        if path in repository.missing:
            self._fail(request, "EntryNotFound")
            return
        data = repository.served.get(path, repository.files[path])
        headers = {
            "ETag": f'"{hashlib.sha256(repository.files[path]).hexdigest()}"',
            "X-Repo-Commit": repository.commit,
            "Accept-Ranges": "bytes",
        }
        span = request.headers.get("Range")
        start = int(span.removeprefix("bytes=").split("-")[0]) if span else 0
        if span and start > 0:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        status = 206 if span and start > 0 else 200
        body = data[start:]
        if not with_body:
            _send(request, 200, b"", headers, length=len(data))
        elif path in self.cut:
            _send(request, status, body[: max(0, self.cut[path] - start)], headers, length=len(body))
            request.wfile.flush()
            request.close_connection = True
        else:
            _send(request, status, body, headers)

    def _fail(self, request, code):
        _send(request, 404, b"{}", {"X-Error-Code": code, "X-Error-Message": code})


def _send(request, status, body, headers, length=None):
    request.send_response(status)
    for key, value in headers.items():
        request.send_header(key, value)
    request.send_header("Content-Length", str(len(body) if length is None else length))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)


def _sibling(path, data):
    """Large files carry their sha256, small ones git's own hash, as a hub has it."""
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
    entry = {"rfilename": path, "size": len(data), "blobId": blob}
    if not path.endswith((".yaml", ".json")):
        entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 100}
    return entry
