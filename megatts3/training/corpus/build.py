"""Fill a corpus folder: `audio.i16` (24 kHz, one utterance after another) and `utterances.jsonl` (one line each)."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pypinyin import Style, lazy_pinyin
from pypinyin.phrases_dict import phrases_dict

from megatts3.errors import UnknownPhone
from megatts3.rates import SAMPLE_RATE
from megatts3.training.corpus import espeak, flite, sentences
from megatts3.training.corpus.speakers import Speaker, speakers
from megatts3.training.corpus.speech import Spoken, Unusable, utterance

AUDIO_FILE = "audio.i16"
LIST_FILE = "utterances.jsonl"
_CLAUSE = re.compile(r"([^，。！？；：、]+)([，。！？；：、])")
_SPEEDS = (0.88, 1.15)  # of an utterance, against the engine's own
_ESPEAK_WORDS_PER_MINUTE = 165


@dataclass(frozen=True)
class CorpusConfig:
    """How much to make.  Hours are of audio, pauses included."""

    flite_hours: float = 3.0
    espeak_english_hours: float = 1.0
    mandarin_hours: float = 3.0
    flite_speakers: int = 40
    espeak_speakers: int = 60
    heldout_flite_speakers: int = 8
    heldout_espeak_speakers: int = 12
    heldout_per_speaker: int = 8
    seed: int = 2026


def build(folder: Path, config: CorpusConfig, *, english_words: list[str]) -> Iterator[float]:
    """Write the corpus; yields the hours made so far, for a progress bar."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [w for w in english_words if re.fullmatch(r"[a-z]{3,10}", w)]
    phrases = [p for p in phrases_dict if re.fullmatch(r"[一-鿿]{2,6}", p)]
    done_s = 0.0
    with (folder / AUDIO_FILE).open("wb") as audio, (folder / LIST_FILE).open("w", encoding="utf-8") as index:
        for number, (speaker, language, text) in enumerate(_script(config, words, phrases)):
            rng = random.Random(f"{config.seed}-{number}")
            try:
                made = utterance(_speak(speaker, language, text, rng), ratio=speaker.ratio, rng=rng)
            except (Unusable, UnknownPhone):
                continue
            line = {
                "id": number, "speaker": speaker.name, "split": speaker.split, "language": language, "text": text,
                "phones": made.phones, "tones": made.tones, "durations": made.durations,
                "offset": audio.tell() // 2, "samples": len(made.samples),
            }  # fmt: skip
            audio.write((made.samples * 32767).astype(np.int16).tobytes())
            index.write(json.dumps(line, ensure_ascii=False) + "\n")
            done_s += len(made.samples) / SAMPLE_RATE
            yield done_s / 3600


def _script(config: CorpusConfig, words: list[str], phrases: list[str]) -> Iterator[tuple[Speaker, str, str]]:
    """Who says what.  Counts follow from hours at about five seconds an utterance."""
    rng = random.Random(config.seed)
    english, mandarin = sentences.english(rng, words), sentences.chinese(rng, phrases)
    train = speakers("train", flite_count=config.flite_speakers, espeak_count=config.espeak_speakers)
    by_engine = {e: [s for s in train if s.engine == e] for e in ("flite", "espeak")}
    plan = [
        ("flite", "en", config.flite_hours),
        ("espeak", "en", config.espeak_english_hours),
        ("espeak", "zh", config.mandarin_hours),
    ]
    train_texts = set()
    for engine, language, hours in plan:
        for index in range(round(hours * 3600 / 5)):
            text = next(english if language == "en" else mandarin)
            train_texts.add(text)
            yield by_engine[engine][index % len(by_engine[engine])], language, text
    heldout = speakers(
        "heldout", flite_count=config.heldout_flite_speakers, espeak_count=config.heldout_espeak_speakers
    )
    for speaker in heldout:
        for index in range(config.heldout_per_speaker):
            language = speaker.languages[index % len(speaker.languages)]
            source = english if language == "en" else mandarin
            yield speaker, language, next(text for text in source if text not in train_texts)


def _speak(speaker: Speaker, language: str, text: str, rng: random.Random) -> Spoken:
    speed = rng.uniform(*_SPEEDS)
    if speaker.engine == "flite":
        return flite.speak(text, voice=speaker.voice, stretch=round(speaker.ratio / speed, 3))
    rate = round(_ESPEAK_WORDS_PER_MINUTE * speed / speaker.ratio)
    if language == "en":
        return espeak.speak_english(text, variant=speaker.voice, pitch=speaker.pitch, words_per_minute=rate)
    clauses = [
        (lazy_pinyin(clause, style=Style.TONE3, neutral_tone_with_five=True, tone_sandhi=True), mark)
        for clause, mark in _CLAUSE.findall(text)
    ]
    return espeak.speak_pinyin(clauses, variant=speaker.voice, pitch=speaker.pitch, words_per_minute=rate)
