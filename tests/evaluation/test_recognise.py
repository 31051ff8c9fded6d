import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from megatts3.evaluation.recognise import PocketSphinx, spoken_words


def test_words_are_compared_without_case_and_marks():
    assert spoken_words("Don't stop; the Bus, please!") == ["don't", "stop", "the", "bus", "please"]


def test_nothing_is_heard_in_silence():
    assert PocketSphinx().words(np.zeros(24_000), 24_000) == []


@pytest.mark.skipif(shutil.which("flite") is None, reason="the teacher flite is not installed")
def test_a_plain_sentence_of_the_teacher_is_understood(tmp_path):
    path = tmp_path / "said.wav"
    subprocess.run(["flite", "-voice", "slt", "-t", "fourteen twelve sixteen forty", "-o", path], check=True)
    samples, rate = soundfile.read(path, dtype="float32")
    assert PocketSphinx().words(0.01 * samples, rate) == ["fourteen", "twelve", "sixteen", "forty"]
