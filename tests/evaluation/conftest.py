"""A corpus folder of buzzing voices, and tiny networks to judge."""

import json

import numpy as np
import pytest

from megatts3.checkpoint import load_networks
from megatts3.text.frontend import TextFrontend
from megatts3.training.corpus.build import AUDIO_FILE, LIST_FILE
from scripts.make_tiny_checkpoint import make_tiny_checkpoint
from tests.evaluation.signals import voice

TEXTS = {
    "en": ["The bus.", "A dog, a cat.", "No one knew.", "Why me?", "All is well."],
    "zh": ["你好。", "我去学校。", "今天很好。", "谢谢你！", "请等一下。"],
}
VOICES = {
    "slt": (190, 1.2, ("en",)),
    "rms": (95, 1.0, ("en",)),
    "m7": (110, 1.5, ("zh", "en")),
    "f5": (250, 0.8, ("zh", "en")),
}


def _utterances(split, per_language):
    """Speaker, language, text, phones, tones, durations, samples; every utterance 200 frames long."""
    frontend = TextFrontend()
    for number, (name, (hz, tilt, languages)) in enumerate(VOICES.items()):
        for language in languages:
            for text in TEXTS[language][:per_language]:
                segment = frontend.segments(text)[0]
                count = len(segment.phones)
                durations = [8] + [7] * (count - 2)
                durations.append(200 - sum(durations))
                seed = 10 * number + len(text) + 500 * (split == "train")
                sound = voice(hz * (1.0 if split == "train" else 1.03), 2.0, tilt=tilt, seed=seed)
                yield f"{split}-{name}-{number}", language, text, segment, durations, sound


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    offset = 0
    with (folder / AUDIO_FILE).open("wb") as audio, (folder / LIST_FILE).open("w", encoding="utf-8") as index:
        for split, per_language in (("train", 3), ("heldout", 5)):
            for number, utterance in enumerate(_utterances(split, per_language)):
                speaker, language, text, segment, durations, sound = utterance
                line = {
                    "id": 100 * (split == "heldout") + number, "speaker": speaker, "split": split,
                    "language": language, "text": text, "phones": segment.phones, "tones": segment.tones,
                    "durations": durations, "offset": offset, "samples": len(sound),
                }  # fmt: skip
                audio.write((sound * 32767).astype(np.int16).tobytes())
                index.write(json.dumps(line, ensure_ascii=False) + "\n")
                offset += len(sound)
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    return make_tiny_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny")


@pytest.fixture(scope="session")
def networks(tiny_folder):
    return load_networks(tiny_folder)
