"""The console command `megatts3`: parse, dispatch, turn failures into an exit status and one sentence."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from cli import cache, checkpoints, doctor, ready, up
from cli.exit_codes import ExitCode, LaunchError
from cli.roles import Role
from contract.errors import SettingsError
from contract.settings import load_settings


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status (see exit_codes.py)."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words[:1] == ["checkpoints"]:
            return checkpoints.run(words[1:])
        arguments = make_parser().parse_args(words)
        command = COMMANDS[arguments.command]
        return int(command(arguments))
    except SettingsError as error:
        for problem in error.problems:
            print(f"megatts3: {problem.source}: {problem.key}: {problem.message}", file=sys.stderr)
        return int(ExitCode.BAD_SETTINGS)
    except LaunchError as error:
        print(f"megatts3: {error.message}", file=sys.stderr)
        return int(error.code)


def make_parser() -> argparse.ArgumentParser:
    """One subparser a command; a further command is a function here and a row in COMMANDS."""
    parser = argparse.ArgumentParser(prog="megatts3", description="MegaTTS 3 speech synthesis server")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_up(commands.add_parser("up", help="run the whole service here: API, worker and Redis"))
    commands.add_parser("checkpoints", add_help=False, help="weights: download, verify, convert, quantize, info")
    cache.add_cache(commands.add_parser("cache", help="look into the audio cache, or empty it"))
    doctor.add_doctor(commands.add_parser("doctor", help="look at everything the service needs, and say what helps"))
    ready.add_ready(commands.add_parser("ready", help="exit status 0 while the service here is ready"))
    return parser


def add_up(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="API settings (configs/api_config.yaml)")
    parser.add_argument("--model-config", type=Path, metavar="FILE", help="model settings (configs/model_config.yaml)")
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", type=port_number, help="port to listen on")
    parser.add_argument("--workers", type=count, metavar="N", help="API processes")
    parser.add_argument(
        "--devices",
        type=device_list,
        default=(),
        metavar="D,D…",
        help="one worker for each, such as cuda:0,cuda:1 (default: one, on the configured device)",
    )
    parser.add_argument(
        "--only",
        type=Role,
        default=Role.ALL,
        choices=tuple(Role),
        metavar="PART",
        help="api or worker: that part alone, beside a Redis that REDIS_URL names",
    )
    parser.add_argument("--ready-file", type=Path, metavar="FILE", help="write facts (JSON) here once ready")
    parser.add_argument("--ready-timeout", type=float, default=900.0, metavar="S", help="give up after S seconds")


def run_up(arguments: argparse.Namespace) -> ExitCode:
    settings = load_settings(api_config=arguments.config, model_config=arguments.model_config)
    options = up.UpOptions(
        api_config=arguments.config,
        model_config=arguments.model_config,
        host=arguments.host,
        port=arguments.port,
        workers=arguments.workers,
        devices=arguments.devices,
        role=arguments.only,
        ready_file=arguments.ready_file,
        ready_timeout_s=arguments.ready_timeout,
    )
    return up.run(settings, options)


COMMANDS: dict[str, Callable[[argparse.Namespace], ExitCode]] = {
    "up": run_up,
    "cache": cache.run_cache,
    "doctor": doctor.run_doctor,
    "ready": ready.run_ready,
}


def count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def port_number(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 65_535:
        raise argparse.ArgumentTypeError("must be between 1 and 65535")
    return value


def device_list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


if __name__ == "__main__":
    sys.exit(main())
