"""`megatts3 ready`: exit status 0 while this machine's part of the service is ready.  For health checks."""

import argparse
import sys
from pathlib import Path

from cli.exit_codes import ExitCode
from cli.roles import Role
from cli.up import part_is_ready
from contract.settings import load_settings


def add_ready(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="API settings (configs/api_config.yaml)")
    parser.add_argument(
        "--only", type=Role, default=Role.ALL, choices=tuple(Role), metavar="PART", help="api or worker"
    )


def run_ready(arguments: argparse.Namespace) -> ExitCode:
    settings = load_settings(api_config=arguments.config)
    if part_is_ready(settings, arguments.only):
        return ExitCode.OK
    print("megatts3: not ready", file=sys.stderr)
    return ExitCode.SERVICE_FAILED
