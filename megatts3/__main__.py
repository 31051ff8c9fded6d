"""python -m megatts3 --checkpoint checkpoints/mini --voice v.wav --text "…" --out out.wav

Exit codes: 0 spoken · 1 the installation is wrong · 2 wrong usage · 3 the input cannot be used.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from megatts3.api import SamplingParams, Synthesizer, encode, resample, writable_formats
from megatts3.errors import InputError, MegaTTS3Error

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_SETUP, EXIT_USAGE, EXIT_INPUT = 1, 2, 3


def parser() -> argparse.ArgumentParser:
    defaults = SamplingParams()
    found = argparse.ArgumentParser(prog="python -m megatts3", description="Speak a text in the voice of a recording.")
    found.add_argument("--checkpoint", type=Path, default=Path("checkpoints/mini"), help="checkpoint directory")
    found.add_argument("--voice", type=Path, required=True, help="reference audio, 1 to 28 seconds")
    found.add_argument("--latent", type=Path, help=".npy latent of the reference audio")
    found.add_argument("--text", required=True)
    found.add_argument("--out", type=Path, required=True, help="its ending tells the format")
    found.add_argument("--device", default="cpu")
    found.add_argument("--sample-rate", type=int, help="of the output, 8000 to 48000; 24000 by default")
    found.add_argument("--steps", type=int, default=defaults.steps)
    found.add_argument("--text-guidance", type=float, default=defaults.text_guidance)
    found.add_argument("--speaker-guidance", type=float, default=defaults.speaker_guidance)
    found.add_argument("--seed", type=int, default=defaults.seed)
    found.add_argument("--speed", type=float, default=defaults.speed)
    found.add_argument("--pitch", type=float, default=defaults.pitch)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Do it, and say in one line how long it took, or what is wrong."""
    usage = parser()
    chosen = usage.parse_args(arguments)
    audio_format = chosen.out.suffix.removeprefix(".").lower() or "wav"
    if audio_format not in writable_formats():
        usage.error(f"--out: cannot write {audio_format!r}; known are {', '.join(writable_formats())}")
    if chosen.sample_rate is not None and not 8_000 <= chosen.sample_rate <= 48_000:
        usage.error("--sample-rate: 8000 to 48000")
    try:
        params = SamplingParams(
            steps=chosen.steps,
            text_guidance=chosen.text_guidance,
            speaker_guidance=chosen.speaker_guidance,
            seed=chosen.seed,
            speed=chosen.speed,
            pitch=chosen.pitch,
        )
        synthesizer = Synthesizer.load(chosen.checkpoint, device=chosen.device)
        voice = synthesizer.voice(chosen.voice, latent=chosen.latent)
        started_s = time.monotonic()
        waveform = synthesizer.say(chosen.text, voice, params)
        taken_s = time.monotonic() - started_s
        spoken = waveform if chosen.sample_rate is None else resample(waveform, chosen.sample_rate)
        chosen.out.write_bytes(encode(spoken, audio_format))
    except (InputError, OSError) as error:
        print(f"megatts3: {error}", file=sys.stderr)  # noqa: T201  a command line speaks this way
        return EXIT_INPUT
    except MegaTTS3Error as error:
        print(f"megatts3: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_SETUP
    print(f"{chosen.out}: {waveform.duration_s:.2f} s of speech in {taken_s:.2f} s")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
