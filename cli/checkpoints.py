"""`megatts3 checkpoints …`: handed as it is to the library's own command, in a process that may load torch."""

import subprocess
import sys
from collections.abc import Sequence

from cli.exit_codes import ExitCode, LaunchError

PROGRAM = "megatts3.checkpoints"


def run(arguments: Sequence[str]) -> int:
    """The exit status of the child, which parses what stands behind `checkpoints`, `--help` included."""
    command = [sys.executable, "-m", PROGRAM, *arguments]
    try:
        with subprocess.Popen(command) as child:
            while True:
                try:
                    return child.wait()
                except KeyboardInterrupt:  # the child got it too, and says what that means
                    continue
    except OSError as error:
        raise LaunchError(ExitCode.SERVICE_FAILED, f"cannot start {PROGRAM}: {error}") from error
