"""Run a program that ends when the process that started it ends.

`python -m cli.tether PARENT_PID [NAME=VALUE …] -- program …` asks the kernel (Linux) for SIGTERM on the
parent's death, adds the variables, then becomes the program.  Done in a process of its own because a function
run between fork and exec is unsafe once the launcher has threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def tether_to_parent(parent_pid: int) -> None:
    """Ask for SIGTERM when the parent dies; leave at once if it has died already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before the request was in force
        raise SystemExit(1)


def main() -> None:
    split = sys.argv.index("--")
    parent_pid, assignments, program = int(sys.argv[1]), sys.argv[2:split], sys.argv[split + 1 :]
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        os.putenv(name, value)
    tether_to_parent(parent_pid)
    os.execvp(program[0], program)  # noqa: S606 — becoming the given program is this module's purpose


if __name__ == "__main__":
    main()
