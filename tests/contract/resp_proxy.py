"""A Redis of a later release: every command goes on to the real server, its version and WAITAOF are ours."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable
from typing import BinaryIO


class LaterRedis(socketserver.ThreadingTCPServer):
    """`flushed`: local copies WAITAOF reports.  `waited`: after which command of its connection it was asked."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, real_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.real_port, self.flushed = real_port, 1
        self.waited: list[str] = []
        self.url = f"redis://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Connection(socketserver.StreamRequestHandler):
    server: LaterRedis

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.real_port)) as real, real.makefile("rb") as answers:
            before = ""
            while command := _command(self.rfile):
                words, raw = command
                if words[0] == "WAITAOF":
                    self.server.waited.append(before)
                    self.wfile.write(f"*2\r\n:{self.server.flushed}\r\n:0\r\n".encode())
                else:
                    real.sendall(raw)
                    reply = _reply(answers.readline, answers)
                    self.wfile.write(reply.replace(b"redis_version:6.2.", b"redis_version:7.2."))
                before = words[0]


def _command(source: BinaryIO) -> tuple[list[str], bytes] | None:
    head = source.readline()
    if not head:
        return None
    words, raw = [], head
    for _ in range(int(head[1:])):
        size = source.readline()
        data = source.read(int(size[1:]) + 2)
        raw += size + data
        words.append(data[:-2].decode("utf-8", "replace").upper())
    return words, raw


def _reply(line: Callable[[], bytes], source: BinaryIO) -> bytes:
    """One whole answer, RESP2 or RESP3."""
    head = line()
    kind, count = head[:1], head[1:].strip()
    if kind in {b"$", b"="}:
        return head if int(count) < 0 else head + source.read(int(count) + 2)
    parts = int(count) * (2 if kind == b"%" else 1) if kind in b"*%~>" else 0
    return head + b"".join(_reply(line, source) for _ in range(max(0, parts)))
