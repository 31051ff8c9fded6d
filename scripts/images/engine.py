"""A Docker engine: the one that answers here, or Debian's packages unpacked into a folder and started from there.

Its own engine touches nothing of the machine: images and containers lie in the folder, and while containers run it
lives in a network namespace of its own, with its own bridges, firewall rules and ports.  To build it needs the
machine's network.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("docker.io", "containerd", "runc", "tini")
START_S = 60.0
STOP_S = 60.0


@dataclass(frozen=True)
class Engine:
    """How to reach it.  `enter`: what goes before a command so that it sees the ports of the containers."""

    environment: dict[str, str]
    enter: tuple[str, ...] = ()

    def docker(self, *arguments: str, check: bool = True, text: str | None = None) -> str:
        """One command of its client; what it printed."""
        return self.run(("docker", *arguments), check=check, text=text)

    def run(self, command: Sequence[str], *, check: bool = True, text: str | None = None) -> str:
        done = subprocess.run(
            command,
            env=self.environment,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise SystemExit(f"images: {' '.join(command)}: exit status {done.returncode}\n{done.stdout[-4000:]}")
        return done.stdout.strip()

    def has_image(self, name: str) -> bool:
        return bool(self.docker("image", "ls", "--quiet", name))


def installed() -> Engine | None:
    """The engine of this machine, where one answers."""
    if shutil.which("docker") is None:
        return None
    answers = subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0
    return Engine(dict(os.environ)) if answers else None


def unpacked(folder: Path) -> Path:
    """Debian's packages of the engine, without installing them; their root.  Needs apt's lists (apt-get update)."""
    root = folder / "engine"
    if not (root / "usr/sbin/dockerd").exists():
        fetched = folder / "packages"
        fetched.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-qq", *PACKAGES], cwd=fetched, check=True)
        for package in fetched.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)
        (root / "usr/bin/docker-init").symlink_to("tini-static")
    return root


@contextlib.contextmanager
def own(folder: Path, *, is_apart: bool) -> Iterator[Engine]:
    """Start one and stop it.  is_apart: in a network namespace of its own, to run containers; else to build."""
    root, state = unpacked(folder), folder / "state"
    state.mkdir(parents=True, exist_ok=True)
    socket, log = f"unix://{state}/socket", state / "log"
    path = f"{root}/usr/bin:{root}/usr/sbin:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "DOCKER_HOST": socket, "DOCKER_BUILDKIT": "1"}
    daemon = ["dockerd", "--data-root", f"{state}/data", "--exec-root", f"{state}/run", "--pidfile", f"{state}/pid"]
    daemon += ["--host", socket]
    if is_apart:
        line = f"ip link set lo up && echo 1 > /proc/sys/net/ipv4/ip_forward && exec {' '.join(daemon)}"
        daemon = ["unshare", "--net", "sh", "-c", line]
    else:
        daemon += ["--bridge=none", "--iptables=false", "--ip-masq=false"]
    with log.open("ab") as out:
        process = subprocess.Popen(daemon, env=environment, stdout=out, stderr=out, start_new_session=True)
    enter = ("nsenter", "--target", str(process.pid), "--net") if is_apart else ()
    engine = Engine(environment, enter)
    try:
        deadline = time.monotonic() + START_S
        while subprocess.run(["docker", "info"], env=environment, capture_output=True, check=False).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"images: the engine did not start, see {log}")
            time.sleep(0.2)
        yield engine
    finally:
        process.terminate()
        process.wait(STOP_S)
