"""The commands of a document, as a reader would type them."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def commands(document: str) -> list[str]:
    """Of the blocks marked `sh`, in order: continued lines joined, remarks cut off."""
    found = []
    for block in re.findall(r"^```sh\n(.*?)^```", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            command = re.sub(r"\s+#\s.*$", "", line).strip()
            if command and not command.startswith("#"):
                found.append(re.sub(r"\s{2,}", " ", command))
    return found


# Beginnings of what is run on a live service, with its own address, log and Redis put in.
LIVE = (
    "curl http://localhost:9000/health",
    "curl http://localhost:9000/api/v1/info",
    'curl "http://localhost:9000/api/v1/jobs?status=running"',
    "curl http://127.0.0.1:9090/metrics",
    "scripts/health_check.sh",
    "cli=",
    "$cli -p PORT",
    "grep ",
)
