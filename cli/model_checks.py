"""What the doctor learns from a process that loads torch and the weights (worker/self_test.py), and says of it."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cli.findings import Finding, fail, ok, warn
from contract.settings import Settings
from monitor.hearing import complaints, measure

PATIENCE_S = 600.0
CHARACTERS = 32  # of the sentence, letters and characters counted alike
Facts = Mapping[str, Any]  # Any: JSON


def check_model(settings: Settings, *, speak: bool, environment: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """Torch and driver, codecs, weights, and with `speak` one sentence."""
    folder = settings.model.locate()
    if not folder.is_dir():
        tried = ", ".join(str(path) for path in settings.model.candidates())
        yield fail("checkpoint", f"none: looked at {tried}", "MEGATTS3_CHECKPOINT_PATH, or MEGATTS3_MODEL_DIR above it")
        speak = False
    with tempfile.TemporaryDirectory(prefix="megatts3-doctor-") as made:
        wav = Path(made) / "sentence.wav"
        argv = [sys.executable, "-m", "worker.self_test", *([str(wav)] if speak else [])]
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=environment
            )
        except subprocess.TimeoutExpired:
            yield fail("model", f"no answer within {PATIENCE_S:g} s", "look at the load of this machine")
            return
        try:
            facts: Facts = json.loads(done.stdout.strip().splitlines()[-1])
        except (ValueError, IndexError):
            last = (done.stderr.strip().splitlines() or ["no word"])[-1]
            how = f"killed by signal {-done.returncode}" if done.returncode < 0 else f"exit status {done.returncode}"
            yield fail(
                "model", f"the worker's self-test ended ({how}): {last}", "make setup; more memory if it was killed"
            )
            return
        yield from judge(facts, settings, wav.read_bytes() if wav.exists() else None, has_checkpoint=folder.is_dir())


def judge(facts: Facts, settings: Settings, spoken: bytes | None, *, has_checkpoint: bool = True) -> Iterator[Finding]:
    """Findings of what the self-test saw."""
    yield _torch(facts["torch"], facts["device"], settings)
    yield _codecs(facts["codecs"], settings)
    if has_checkpoint:
        yield from _checkpoint(facts["checkpoint"])
    if "synthesis" in facts:
        yield _synthesis(facts["synthesis"], spoken)


def _torch(torch: Facts, device: Facts, settings: Settings) -> Finding:
    if "error" in torch:
        return fail("torch", torch["error"], "make setup installs it from the lock file")
    seen = f"{torch['version']}, CUDA {torch['cuda'] or 'none'}"
    unknown = [arch for arch in torch.get("archs", ()) if not _is_built_for(arch, torch.get("built_for", ()))]
    if unknown:
        remedy = "a torch built for this GPU; its wheels name their architectures"
        return fail("torch", f"{seen} is not built for {', '.join(unknown)} ({', '.join(torch['gpus'])})", remedy)
    if "error" in device:
        return fail("torch", f"{seen}; {device['error']}", "MEGATTS3_DEVICE: auto, cpu, or a GPU that is here")
    if settings.model.device.startswith("cuda") and not torch["is_available"]:
        remedy = "nvidia-smi tells whether the driver works; in a container: the NVIDIA runtime; or MEGATTS3_DEVICE=cpu"
        return warn("torch", f"{seen} sees no GPU; {settings.model.device} was asked for, the CPU is used", remedy)
    gpus = f", {', '.join(torch['gpus'])}" if torch.get("gpus") else ""
    return ok("torch", f"{seen}{gpus}; computes on {device['device']} in {device['precision']}")


def _is_built_for(arch: str, built_for: list[str]) -> bool:
    """Whether kernels for this card are there: of its own generation, the same minor version or an older one."""
    major, minor = arch[3:-1], int(arch[-1])
    return any(b[3:-1] == major and int(b[-1]) <= minor for b in built_for if b[-1].isdigit())


def _codecs(codecs: Facts, settings: Settings) -> Finding:
    if "error" in codecs:
        return fail("codecs", codecs["error"], "make setup installs soundfile with its library")
    missing = [name for name in settings.storage.supported_formats if name not in codecs["readable"]]
    seen = f"reads {', '.join(codecs['readable'])}; writes {', '.join(codecs['writable'])}"
    if missing:
        return warn("codecs", f"{seen}; not {', '.join(missing)}", "install PyAV (the package av)")
    return ok("codecs", seen)


def _checkpoint(checkpoint: Facts) -> Iterator[Finding]:
    """Each thing that is wrong with the weights, or what they are."""
    remedy = "put the weights there again: checkpoints/README.md says what is read"
    wrong = [checkpoint["error"]] if "error" in checkpoint else checkpoint.get("problems", [])
    if wrong:
        yield from (fail("checkpoint", problem, remedy) for problem in wrong)
        return
    encodes = "encodes voices" if checkpoint["encoder"] else "no encoder: voices need their latents"
    reads = f"reads text by {checkpoint['pronunciation']}"
    whole = f"whole ({checkpoint['verified']} looked at)"
    yield ok("checkpoint", f"{checkpoint['path']} ({checkpoint['revision']}), {whole}, {encodes}, {reads}")


def _synthesis(synthesis: Facts, spoken: bytes | None) -> Finding:
    if "error" in synthesis:
        return fail("synthesis", synthesis["error"], "mend what is said above; then the worker's log")
    seconds, audio_s = float(synthesis["seconds"]), float(synthesis["audio_s"])
    seen = f"{audio_s:.1f} s of speech in {seconds:.1f} s, loading included"
    try:
        heard = complaints(measure(spoken or b"", characters=CHARACTERS))
    except ValueError as error:
        return fail("synthesis", f"no audio: {error}", "the worker's log")
    if heard:
        return warn(
            "synthesis", f"{seen}; it does not sound like speech: {', '.join(heard)}", "are these trained weights?"
        )
    return ok("synthesis", seen)
