import dataclasses
import json

import pytest

from megatts3.evaluation.clip import ClipMeasures, WordErrors
from megatts3.evaluation.durations import DurationErrors
from megatts3.evaluation.figures import Evaluation, Target
from megatts3.evaluation.health import Health
from megatts3.evaluation.heard import PhoneErrors
from megatts3.evaluation.report import BEGIN, END, fill_card, to_json, to_markdown
from megatts3.evaluation.speakers import Column
from megatts3.evaluation.speed import Speed

GOOD = Health(0, 0, silent=False)
PHONES = PhoneErrors(2, 100, 0, 0)
WORDS = WordErrors(1, 10, "one")


def clip(column, *, language="en", phones=PHONES, words=WORDS, **changes):
    made = ClipMeasures(
        case=0, column=column, speaker="heldout-slt-0", language=language, text="Well.", duration_s=2.0, took_s=0.2,
        phones=phones, words=words, nearest_voice="heldout-slt-0", f0_error=0.03, health=GOOD,
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def evaluation(*clips, speeds=()):
    return Evaluation("mini", "abc", {"steps": 32}, clips, [DurationErrors(10, 120.0, 0.9, 1.0)], speeds)


def figure(found, start):
    return next(figure for figure in found.figures if figure.name.startswith(start))


def test_word_errors_are_judged_as_a_multiple_of_the_teachers():
    found = evaluation(clip(Column.TEACHER), clip(Column.PRODUCT, words=WordErrors(2, 10, "")))
    ratio = figure(found, "… as a multiple")
    assert ratio.judged == pytest.approx(2.0)
    assert ratio.must_reached is False
    assert ratio in found.missed


def test_errors_are_pooled_over_clips_not_averaged():
    found = evaluation(
        clip(Column.PRODUCT, phones=PhoneErrors(10, 10, 0, 0)), clip(Column.PRODUCT, phones=PhoneErrors(0, 90, 0, 0))
    )
    assert figure(found, "Phone errors by that aligner, English").judged == pytest.approx(0.1)


def test_languages_are_judged_apart():
    found = evaluation(
        clip(Column.PRODUCT), clip(Column.PRODUCT, language="zh", phones=PhoneErrors(30, 100, 60, 70), words=None)
    )
    assert figure(found, "Phone errors by that aligner, English").must_reached
    assert figure(found, "Phone errors by that aligner, Chinese").must_reached is False
    assert figure(found, "Tones right").judged == pytest.approx(60 / 70)


def test_the_aligner_is_judged_on_the_teacher_and_mini_on_its_own_speech():
    found = evaluation(clip(Column.TEACHER, phones=PhoneErrors(50, 100, 0, 0)), clip(Column.PRODUCT))
    assert figure(found, "Aligner's phone errors").must_reached is False
    assert figure(found, "Phone errors by that aligner, English").aim_reached


def test_a_column_that_misses_is_not_a_miss_of_the_product():
    found = evaluation(clip(Column.TEACHER), clip(Column.PRODUCT), clip(Column.CODEC, f0_error=0.9))
    assert not found.missed


def test_a_clip_that_is_missing_or_silent_is_a_miss():
    found = evaluation(clip(Column.PRODUCT), clip(Column.PRODUCT, health=Health(0, 0, silent=True)))
    assert figure(found, "Clips silent") in found.missed


def test_speed_is_judged_on_two_threads_alone():
    found = evaluation(clip(Column.PRODUCT), speeds=[Speed(1, 0.8, 0.0), Speed(2, 0.6, 0.0)])
    assert [f.name for f in found.missed] == ["Real-time factor, 2 threads"]


def test_what_was_not_measured_is_not_missed():
    assert not evaluation(clip(Column.TEACHER)).missed


@pytest.mark.parametrize(("value", "is_floor", "reached"), [(0.8, True, True), (0.79, True, False), (0.8, False, True)])
def test_a_bound_itself_is_enough(value, is_floor, reached):
    target = Target(0.8, 0.9, is_floor)
    assert target.reached(value, target.must) is reached


def test_the_table_shows_bounds_values_and_verdicts():
    found = evaluation(clip(Column.TEACHER), clip(Column.PRODUCT, f0_error=0.08), clip(Column.PRODUCT, language="zh"))
    table = to_markdown(found, ["mini/spectrogram-en.png"])
    assert "| measure | must | aim | mini | teacher | verdict |" in table
    assert "| Right voice of 1 | ≥ 80 % | ≥ 97 % | 100 % | 100 % | aim reached |" in table
    assert "| F0 median off the reference voice's | ≤ 12 % | ≤ 5 % | 5.5 % | 3 % | must reached |" in table
    assert "![spectrogram-en](mini/spectrogram-en.png)" in table


def test_the_table_says_how_busy_the_machine_was_while_speed_was_measured():
    assert "a load of 3.5" in to_markdown(evaluation(clip(Column.PRODUCT), speeds=[Speed(1, 0.8, 3.5)]))


def test_json_holds_figures_and_every_clip():
    whole = json.loads(to_json(evaluation(clip(Column.TEACHER), clip(Column.PRODUCT, failure="AlignmentFailed"))))
    assert len(whole["clips"]) == 2
    assert whole["clips"][1]["failure"] == "AlignmentFailed"
    assert {"name", "must", "aim", "judged", "must_reached"} <= whole["figures"][0].keys()


def test_a_card_keeps_its_words_and_gets_the_table(tmp_path):
    card = tmp_path / "mini.md"
    card.write_text(f"# Mini\n\n{BEGIN}\nold\n{END}\n\nThe end.\n", encoding="utf-8")
    for _ in range(2):
        fill_card(card, "| new |\n")
    assert card.read_text("utf-8") == f"# Mini\n\n{BEGIN}\n\n| new |\n\n{END}\n\nThe end.\n"


def test_a_card_without_marks_is_refused(tmp_path):
    card = tmp_path / "mini.md"
    card.write_text("# Mini\n", encoding="utf-8")
    with pytest.raises(ValueError, match="lacks"):
        fill_card(card, "| new |\n")
