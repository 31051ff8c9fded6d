"""Everything measured of one clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from megatts3.audio.pitch import pitch
from megatts3.audio.waveform import Waveform
from megatts3.checkpoint import Networks
from megatts3.evaluation import timbre
from megatts3.evaluation.cases import Case
from megatts3.evaluation.edit_distance import match
from megatts3.evaluation.health import Health, health
from megatts3.evaluation.heard import PhoneErrors, heard_phones, phone_errors
from megatts3.evaluation.recognise import Recogniser, spoken_words
from megatts3.evaluation.speakers import Column, Spoken
from megatts3.evaluation.timbre import FloatArray
from megatts3.rates import SAMPLE_RATE
from megatts3.text.phones import is_speech
from megatts3.training.data import Corpus, Entry

_FITTING_CLIPS = 6  # of each training speaker, to learn from what tells voices apart
_NO_PITCH = 1.0  # the F0 error of a clip without a voice


@dataclass(frozen=True)
class WordErrors:
    wrong: int
    total: int
    heard: str


@dataclass(frozen=True)
class ClipMeasures:
    """failure: why there is no clip; then all that was asked for counts as wrong.

    words: only of sentences the recogniser can be asked about; f0_error: share of the reference's median
    """

    case: int
    column: Column
    speaker: str
    language: str
    text: str
    duration_s: float
    took_s: float
    phones: PhoneErrors
    words: WordErrors | None
    nearest_voice: str | None
    f0_error: float | None
    health: Health
    failure: str | None = None

    @property
    def is_right_voice(self) -> bool:
        return self.nearest_voice == self.speaker


class Judge:
    """Measures clips against one held-out split; what it learns about voices comes from the training split."""

    def __init__(self, networks: Networks, training: Corpus, heldout: Corpus, recogniser: Recogniser) -> None:
        self._networks, self._training, self._heldout, self._recogniser = networks, training, heldout, recogniser

    def measure(self, number: int, column: Column, case: Case, spoken: Spoken) -> ClipMeasures:
        waveform, found = spoken.waveform, health(spoken.waveform.samples, spoken.waveform.sample_rate)
        if found.not_finite:
            waveform = Waveform(np.nan_to_num(waveform.samples).clip(-1, 1), waveform.sample_rate)
        return ClipMeasures(
            case=number,
            column=column,
            speaker=case.target.speaker,
            language=case.target.language,
            text=case.target.text,
            duration_s=waveform.duration_s,
            took_s=spoken.took_s,
            phones=phone_errors(spoken.asked, heard_phones(self._networks, waveform)),
            words=self._words(case, waveform),
            nearest_voice=self._nearest(case.target, waveform),
            f0_error=self._f0_error(case.target, waveform),
            health=found,
        )

    def missing(self, number: int, column: Column, case: Case, failure: str) -> ClipMeasures:
        """Of a clip that could not be made."""
        phones = sum(is_speech(phone) for phone in case.target.phones.tolist())
        words = len(spoken_words(case.target.text))
        return ClipMeasures(
            case=number,
            column=column,
            speaker=case.target.speaker,
            language=case.target.language,
            text=case.target.text,
            duration_s=0.0,
            took_s=0.0,
            phones=PhoneErrors(phones, phones, 0, 0),
            words=WordErrors(words, words, "") if case.is_clear else None,
            nearest_voice=None,
            f0_error=_NO_PITCH,
            health=Health(0, 0, silent=True),
            failure=failure,
        )

    def _words(self, case: Case, waveform: Waveform) -> WordErrors | None:
        if not case.is_clear:
            return None
        wanted = spoken_words(case.target.text)
        heard = self._recogniser.words(waveform.samples, waveform.sample_rate)
        return WordErrors(match(wanted, heard).errors, len(wanted), " ".join(heard))

    def _nearest(self, target: Entry, waveform: Waveform) -> str:
        """Among all held-out speakers, each known by its clips but for the target's."""
        known = {
            speaker: np.mean([self._embeddings[e.id] for e in entries if e.id != target.id], axis=0)
            for speaker, entries in self._heldout.by_speaker.items()
        }
        return timbre.nearest(self._space.embed(timbre.features(waveform.samples, waveform.sample_rate)), known)

    def _f0_error(self, target: Entry, waveform: Waveform) -> float | None:
        """Against the speaker's other clips in the language: tones, not the voice, lift the middle of Mandarin."""
        others = [
            median
            for e in self._heldout.by_speaker[target.speaker]
            if e.id != target.id and e.language == target.language and (median := self._medians[e.id]) is not None
        ]
        found = pitch(waveform.samples, waveform.sample_rate).median_hz
        if not others:
            return None
        if found is None:
            return _NO_PITCH
        reference = float(np.median(others))
        return abs(found - reference) / reference

    @cached_property
    def _space(self) -> timbre.Space:
        training = {
            speaker: [self._features(self._training, e) for e in entries[:: max(1, len(entries) // _FITTING_CLIPS)]]
            for speaker, entries in self._training.by_speaker.items()
        }
        return timbre.fit(training)

    @cached_property
    def _embeddings(self) -> Mapping[int, FloatArray]:
        return {e.id: self._space.embed(self._features(self._heldout, e)) for e in self._heldout.entries}

    @cached_property
    def _medians(self) -> Mapping[int, float | None]:
        return {e.id: pitch(self._heldout.audio(e), SAMPLE_RATE).median_hz for e in self._heldout.entries}

    def _features(self, corpus: Corpus, entry: Entry) -> FloatArray:
        return timbre.features(corpus.audio(entry), SAMPLE_RATE)
