"""What the command's exit status means; a service manager and a script both act on it."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit statuses of `megatts3`; 2 is argparse's own for a wrong command line."""

    OK = 0
    SERVICE_FAILED = 1  # a child process could not be kept alive, or never became ready
    USAGE = 2
    PORT_BUSY = 3
    ALREADY_RUNNING = 4  # another `megatts3 up` holds this storage directory
    BAD_SETTINGS = 5
    NO_REDIS = 6


class LaunchError(Exception):
    """The service cannot be started; carries the exit status and a sentence for the person who typed."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message
