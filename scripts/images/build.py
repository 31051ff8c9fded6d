"""Build the images from their Dockerfiles, and the few that compose takes from a registry where none can be asked."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from scripts.images.engine import Engine

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = {
    "megatts3-api": "Dockerfile.api",
    "megatts3-worker": "Dockerfile.worker",
    "megatts3": "Dockerfile",
}
BASE = "debian:bookworm-slim"
MIRROR = "http://deb.debian.org/debian"
# Stand-ins for the images that others publish: the same programs as Debian packs them.
STAND_INS = {
    "redis:7-bookworm": ("redis-server", "WORKDIR /data"),
    "nginx:1.28-bookworm": ("nginx curl", 'CMD ["nginx", "-g", "daemon off;"]'),
    "prom/prometheus:v3.5.0": (
        "prometheus",
        'ENTRYPOINT ["prometheus", "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/tmp/tsdb"]',
    ),
}


def make_base(engine: Engine, folder: Path, site_files: Path | None) -> None:
    """Debian by debootstrap under the name the Dockerfiles ask for; `site_files` are laid over it.

    Those are what a machine needs to reach packages: certificates, pip's settings.  They are part of this base only.
    """
    if engine.has_image(BASE):
        return
    system = folder / "bookworm"
    if not (system / "etc/debian_version").exists():
        subprocess.run(["debootstrap", "--variant=minbase", "bookworm", str(system), MIRROR], check=True)
        for package in (system / "var/cache/apt/archives").glob("*.deb"):
            package.unlink()
    with subprocess.Popen(["tar", "--create", "--directory", str(system), "."], stdout=subprocess.PIPE) as packed:
        subprocess.run(
            ["docker", "import", "-", "debian-plain"], env=engine.environment, stdin=packed.stdout, check=True
        )
    context = folder / "base"
    shutil.rmtree(context, ignore_errors=True)
    shutil.copytree(site_files, context / "files") if site_files is not None else (context / "files").mkdir(
        parents=True
    )
    text = 'FROM debian-plain\nCOPY files/ /\nCMD ["bash"]\n'
    engine.docker("build", "--tag", BASE, "--file", "-", str(context), text=text)


def build(engine: Engine, names: Sequence[str]) -> None:
    """From the tree as it is, `.dockerignore` and all; layers that are there are used again."""
    for name in names:
        print(f"building {name} from {DOCKERFILES[name]}", flush=True)
        file = str(ROOT / DOCKERFILES[name])
        engine.docker("build", "--network", "host", "--file", file, "--tag", name, str(ROOT))


def build_stand_ins(engine: Engine) -> None:
    for name, (packages, rest) in STAND_INS.items():
        if not engine.has_image(name):
            install = f"apt-get update && apt-get install -y --no-install-recommends {packages}"
            text = f"FROM {BASE}\nRUN {install} && rm -rf /var/lib/apt/lists/*\n{rest}\n"
            engine.docker("build", "--network", "host", "--tag", name, "-", text=text)
