"""A corpus of tones: no teacher needed, and every time is known."""

import json

import numpy as np
import pytest

from megatts3.training.corpus.build import AUDIO_FILE, LIST_FILE
from megatts3.training.data import LATENT_FILE, Corpus, write_pitch

PHONES = (145, 118, 103, 126, 163, 115, 148)
DURATIONS = (8, 12, 16, 12, 40, 16, 64)


@pytest.fixture
def corpus(tmp_path):
    """Six utterances of two speakers, 168 frames each."""
    rng = np.random.default_rng(0)
    samples = 240 * sum(DURATIONS)
    with (tmp_path / AUDIO_FILE).open("wb") as audio, (tmp_path / LIST_FILE).open("w") as lines:
        for number in range(6):
            tone = 0.3 * np.sin(2 * np.pi * (200 + 40 * number) * np.arange(samples) / 24_000)
            line = {
                "id": number, "speaker": f"train-{number % 2}", "split": "train", "language": "en", "text": "a",
                "phones": PHONES, "tones": [3] * len(PHONES), "durations": DURATIONS,
                "offset": audio.tell() // 2, "samples": samples,
            }  # fmt: skip
            audio.write((tone * 32767).astype(np.int16).tobytes())
            lines.write(json.dumps(line) + "\n")
    rng.standard_normal((6 * samples // 960, 32)).astype(np.float16).tofile(tmp_path / LATENT_FILE)
    made = Corpus(tmp_path, "train")
    write_pitch([made], tmp_path)
    return made
