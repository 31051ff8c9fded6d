"""`megatts3 doctor`: look at everything the service needs, say what is wrong first, and what helps."""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from cli import machine_checks, model_checks
from cli.bundle import write_bundle
from cli.exit_codes import ExitCode
from cli.findings import Finding, Verdict, fail, ok
from cli.roles import Role
from contract.errors import SettingsError
from contract.settings import Settings, load_settings


def add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="API settings (configs/api_config.yaml)")
    parser.add_argument("--model-config", type=Path, metavar="FILE", help="model settings (configs/model_config.yaml)")
    parser.add_argument(
        "--only", type=Role, default=Role.ALL, choices=tuple(Role), metavar="PART", help="api or worker"
    )
    parser.add_argument("--no-synthesis", action="store_true", help="do not speak a sentence: quicker")
    parser.add_argument("--json", action="store_true", help="findings as JSON")
    parser.add_argument(
        "--bundle", type=Path, metavar="FILE", help="also write an archive for support, without secrets"
    )


def run_doctor(arguments: argparse.Namespace) -> ExitCode:
    """Every finding, what failed first; 0 when nothing failed."""
    findings: list[Finding] = []
    settings: Settings | None = None
    try:
        settings = load_settings(api_config=arguments.config, model_config=arguments.model_config)
    except SettingsError as error:
        findings += [fail("settings", f"{p.source}: {p.key}: {p.message}", "mend that line") for p in error.problems]
    else:
        findings += examine(settings, role=arguments.only, speak=not arguments.no_synthesis)
    findings = in_order(findings)
    if arguments.json:
        rows = [{"subject": f.subject, "verdict": f.verdict, "seen": f.seen, "remedy": f.remedy} for f in findings]
        print(json.dumps(rows, ensure_ascii=False, indent=2))
    else:
        print("\n".join(finding.line() for finding in findings))
    if arguments.bundle is not None:
        write_bundle(arguments.bundle, findings, settings, (arguments.config, arguments.model_config))
        print(f"bundle: {arguments.bundle}")
    return ExitCode.SERVICE_FAILED if any(f.verdict is Verdict.FAIL for f in findings) else ExitCode.OK


def examine(settings: Settings, *, role: Role = Role.ALL, speak: bool = True) -> Iterator[Finding]:
    """All findings, cheap ones first."""
    yield machine_checks.check_python()
    yield from check_settings(settings)
    yield from machine_checks.check_redis(settings)
    yield from machine_checks.check_disk(settings)
    if role.has_api:
        yield from machine_checks.check_ports(settings)
        yield machine_checks.check_service(settings)
    if role.has_worker:
        yield from model_checks.check_model(settings, speak=speak)


def check_settings(settings: Settings) -> Iterator[Finding]:
    """A key nobody knows is a warning at start, so that old files load, and a failure here."""
    for problem in settings.warnings:
        yield fail(
            "settings", f"{problem.source}: {problem.key}: {problem.message}", "docs/configuration.md has every key"
        )
    if not settings.warnings:
        yield ok("settings", f"{len(settings.origins)} from files and variables, the rest as by default")


def in_order(findings: Sequence[Finding]) -> list[Finding]:
    """What failed, then what is doubtful, then the rest; within these as it was found."""
    order = list(Verdict)
    return sorted(findings, key=lambda finding: -order.index(finding.verdict))
