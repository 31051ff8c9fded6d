"""`python -m megatts3.checkpoints`: download, verify, convert, quantize, info.

What `megatts3 checkpoints …` runs, in a process of its own: the console command itself never loads torch.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from megatts3.checkpoint.convert import DTYPES, convert
from megatts3.checkpoint.download import download
from megatts3.checkpoint.examine import describe, verify
from megatts3.checkpoint.known import OFFICIAL
from megatts3.checkpoint.quantize import quantize
from megatts3.errors import CheckpointError, MegaTTS3Error
from megatts3.evaluation.quantized import Ears, compare

OK, FAILED, INTERRUPTED = 0, 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """0: done, and all is well; 1: it is not, and why was said."""
    chosen = make_parser().parse_args(arguments)
    try:
        return int(chosen.run(chosen))
    except MegaTTS3Error as error:
        say(f"megatts3: {error}", error=True)
        return FAILED
    except KeyboardInterrupt:
        say("megatts3: stopped; run the same command again to go on", error=True)
        return INTERRUPTED


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="megatts3 checkpoints", description="weights: fetch, check, change")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    fetch = commands.add_parser("download", help="fetch the official release, or another, from a model hub")
    fetch.add_argument("folder", type=Path, help="where to; a checkpoint directory afterwards")
    fetch.add_argument("--repo", default=OFFICIAL, metavar="OWNER/NAME", help=f"default: {OFFICIAL}")
    fetch.add_argument("--revision", metavar="REV", help="commit, tag or branch; default: main as it is at the start")
    fetch.add_argument(
        "--encoder-from",
        metavar="OWNER/NAME[@REV]",
        help="also fetch a WaveVAE with encoder from this THIRD PARTY; ByteDance published none",
    )
    fetch.set_defaults(run=run_download)

    check = commands.add_parser("verify", help="hashes, then every tensor of every network")
    check.add_argument("folder", type=Path)
    check.set_defaults(run=run_verify)

    change = commands.add_parser("convert", help="the release's form → safetensors with a manifest")
    change.add_argument("folder", type=Path)
    change.add_argument("target", type=Path)
    change.add_argument("--dtype", choices=tuple(DTYPES), default="fp32", help="of the stored numbers (default: fp32)")
    change.add_argument("--licence", help="where the source states none")
    change.add_argument("--source", help="where it is from, where the source does not say")
    change.add_argument("--dit", metavar="FOLDER", help="which DiT, of dit_base and dit_large")
    change.set_defaults(run=run_convert)

    shrink = commands.add_parser("quantize", help="the DiT in INT8, for a CPU; with a report of what it costs")
    shrink.add_argument("folder", type=Path)
    shrink.add_argument("target", type=Path)
    shrink.add_argument("--device", default="cpu", help="cpu; anything else is refused, with the reason")
    shrink.add_argument("--no-report", action="store_true", help="do not measure speed and sound before and after")
    shrink.set_defaults(run=run_quantize)

    look = commands.add_parser("info", help="what a checkpoint is and can do")
    look.add_argument("folder", type=Path)
    look.add_argument("--json", action="store_true")
    look.set_defaults(run=run_info)
    return parser


def run_download(chosen: argparse.Namespace) -> int:
    download(
        chosen.folder,
        repository=chosen.repo,
        revision=chosen.revision,
        encoder_from=chosen.encoder_from,
        say=say,
    )
    return OK


def run_verify(chosen: argparse.Namespace) -> int:
    require_folder(chosen.folder)
    problems = 0
    for finding in verify(chosen.folder):
        say(f"ok     {finding.what}" if finding.problem is None else f"WRONG  {finding.problem}")
        problems += finding.problem is not None
    say("whole" if not problems else f"{problems} problems")
    return FAILED if problems else OK


def run_convert(chosen: argparse.Namespace) -> int:
    require_folder(chosen.folder)
    convert(
        chosen.folder,
        chosen.target,
        dtype=chosen.dtype,
        licence=chosen.licence,
        origin=chosen.source,
        dit_folder=chosen.dit,
    )
    say(f"written: {chosen.target}")
    return OK


def run_quantize(chosen: argparse.Namespace) -> int:
    require_folder(chosen.folder)
    quantize(chosen.folder, chosen.target, device=chosen.device)
    say(f"written: {chosen.target}")
    if not chosen.no_report:
        say(compare(chosen.folder, chosen.target, ears=recogniser()).table())
    return OK


def recogniser() -> Ears | None:
    """The extra `eval` brings it; without it words are not counted."""
    if importlib.util.find_spec("pocketsphinx") is None:
        return None
    from megatts3.evaluation.recognise import PocketSphinx  # noqa: PLC0415 - an extra of its own

    return PocketSphinx()


def run_info(chosen: argparse.Namespace) -> int:
    require_folder(chosen.folder)
    found = describe(chosen.folder)
    if chosen.json:
        say(json.dumps(found, indent=2))
        return OK
    encoder = "yes" if found["encoder"] else "no: voices need a latent (.npy) beside their recording"
    pronounces = "the release's network" if found["g2p_network"] else "dictionaries and rules"
    say(str(found["name"]))
    say(f"  licence:       {found['licence'] or 'not stated'}")
    say(f"  source:        {found['source'] or 'not stated'}")
    say(f"  encoder:       {encoder}")
    say(f"  pronunciation: {pronounces}")
    say(f"  voices:        {'yes' if found['voices'] else 'no'}")
    for name, network in found["networks"].items():
        numbers = ", ".join(f"{count / 1e6:.2f} M {kind}" for kind, count in network["numbers"].items())
        say(f"  {name:<21} {network['size_bytes'] / 1e6:>9.1f} MB  {network['tensors']:>4} tensors  {numbers}")
    return OK


def require_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise CheckpointError(str(folder), None, "a checkpoint directory", "no such directory", "check the path")


def say(text: str, *, error: bool = False) -> None:
    print(text, file=sys.stderr if error else sys.stdout, flush=True)


if __name__ == "__main__":
    sys.exit(main())
