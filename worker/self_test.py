"""`python -m worker.self_test`: what a worker would find here, as JSON.  For `megatts3 doctor`, which loads no torch.

Each part is tried by itself, so that one that fails does not hide the next.
"""

import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

from contract.settings import Settings, load_settings

SENTENCE = "早上好，今天天气不错。Good morning to all of you."
Facts = dict[str, object]


def look(settings: Settings, *, speak: bool, out: Path | None) -> Facts:
    """torch, devices, codecs, checkpoint; with `speak` one sentence, written to `out`."""
    parts: dict[str, Callable[[], Facts]] = {
        "torch": torch_facts,
        "device": lambda: device_facts(settings),
        "codecs": codec_facts,
        "checkpoint": lambda: checkpoint_facts(settings),
    }
    if speak:
        parts["synthesis"] = lambda: synthesis_facts(settings, out)
    found: Facts = {}
    for name, part in parts.items():
        try:
            found[name] = part()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
            found[name] = {"error": f"{type(error).__name__}: {error}"}
    return found


def torch_facts() -> Facts:
    import torch  # noqa: PLC0415 - its failure is a finding

    facts: Facts = {"python": platform.python_version(), "version": torch.__version__, "cuda": torch.version.cuda}
    facts["is_available"] = available = torch.cuda.is_available()
    if available:
        facts["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        archs = [f"sm_{a}{b}" for a, b in map(torch.cuda.get_device_capability, range(torch.cuda.device_count()))]
        facts["archs"], facts["built_for"] = archs, torch.cuda.get_arch_list()
    return facts


def device_facts(settings: Settings) -> Facts:
    from worker.devices import choose_compute  # noqa: PLC0415 - as above

    compute = choose_compute(settings.model)
    return {"device": compute.device, "precision": compute.precision, "wanted": settings.model.device}


def codec_facts() -> Facts:
    from megatts3.audio import formats  # noqa: PLC0415 - as above

    return {"readable": list(formats.readable_formats()), "writable": list(formats.writable_formats())}


def checkpoint_facts(settings: Settings) -> Facts:
    """What `megatts3 checkpoints verify` finds; what the weights can do where that is nothing."""
    from megatts3.checkpoint import load_networks  # noqa: PLC0415 - as above
    from megatts3.checkpoint.examine import verify  # noqa: PLC0415 - as above

    path, named = settings.model.locate(), settings.model.locate_weights()
    looked_at = list(verify(path, dit_folder=named.parent.name if named.is_file() else None))
    if problems := [finding.problem for finding in looked_at if finding.problem is not None]:
        return {"problems": problems}
    networks = load_networks(named)
    able = networks.capabilities
    return {
        "path": str(named),
        "verified": len(looked_at),
        "revision": networks.revision,
        "encoder": able.encoder,
        "pronunciation": "network" if able.g2p_network else "dictionary",
    }


def synthesis_facts(settings: Settings, out: Path | None) -> Facts:
    from megatts3.api import Synthesizer, encode  # noqa: PLC0415 - as above

    path = settings.model.locate()
    clips = sorted((path / "voices").glob("default.*")) or sorted(p for p in (path / "voices").glob("*.*"))
    clips = [clip for clip in clips if clip.suffix in {".wav", ".flac", ".mp3", ".ogg"}]
    if not clips:
        return {"error": "no voice beside the weights to speak with"}
    began = time.perf_counter()
    speaker = Synthesizer.load(settings.model.locate_weights())
    spoken = speaker.say(SENTENCE, speaker.voice(clips[0]))
    if out is not None:
        out.write_bytes(encode(spoken, "wav"))
    return {"seconds": time.perf_counter() - began, "audio_s": spoken.duration_s}


if __name__ == "__main__":
    wav = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    sys.stdout.write(json.dumps(look(load_settings(), speak=wav is not None, out=wav), ensure_ascii=False) + "\n")
