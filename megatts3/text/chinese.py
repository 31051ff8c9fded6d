"""Han to syllables: readings by pypinyin's phrases, then the tones that change in connected speech."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

_DIGITS = frozenset("零一二三四五六七八九〇两")
_FULL_ER = frozenset("女婴孤少幼健胎宠")  # 女儿: the 儿 is a word of its own, not an ending
_GETS = frozenset("到出知罪奖胜逞志分票名病救益手宠势体主失以")  # 得到: to get
_MUST_AFTER = frozenset("我你他她它们您就还都也必须总非谁可又只")  # 我得去: must
_ADVERB_ENDS = frozenset(
    "然速声力静细真兴快慢烈极底常重松切密断停意心乐奋苦易净楚亮急缓稳牢刻慎致情愿确准耐热善敢傲悄"
)  # 突然地: -ly
_PLACE_WORDS = frozenset("位区方面点带球图址下铁上主理板震")  # 地方: 地 is ground
_ALONE = {"佛": "fo2", "卜": "bu3", "尽": "jin4"}  # as a word of its own; pypinyin has the rarer reading first
_ONE_AFTER = frozenset("第统統唯专周期拜初")  # 第一, 周一: the number itself
_LONG_AFTER = frozenset("很太真多么更最不好这那较够细漫")  # 很长: long


@dataclass(frozen=True)
class ChineseWord:
    """A word of the text and the syllables of its characters, `hao3`; None where no reading is known."""

    text: str
    syllables: tuple[str | None, ...]


def chinese_words(run: str) -> tuple[ChineseWord, ...]:
    """Words and syllables of a run of Han without marks; tones as spoken (sandhi), 5 is the neutral tone."""
    cut, read = _pypinyin()
    words = list(cut(run))
    syllables = [syllable for word in words for syllable in _word_syllables(word, read)]
    _correct_readings(run, syllables, words)
    _change_yi_and_bu(run, syllables, words)
    _change_third_tones(syllables)
    spoken, start = [], 0
    for word in words:
        spoken.append(ChineseWord(word, tuple(s or None for s in syllables[start : start + len(word)])))
        start += len(word)
    return tuple(spoken)


@cache
def _pypinyin() -> tuple[Callable[[str], list[str]], Callable[[str], list[str]]]:
    """Its word cutter and its reading of a word; imported on first use: a third of a second and 55 MiB."""
    from pypinyin import Style, lazy_pinyin  # noqa: PLC0415
    from pypinyin.seg import mmseg  # noqa: PLC0415

    def read(word: str) -> list[str]:
        syllables: list[str] = lazy_pinyin(
            [word],
            style=Style.TONE3,
            neutral_tone_with_five=True,
            v_to_u=False,
            errors="ignore",
        )
        return syllables

    return lambda run: list(mmseg.seg.cut(run)), read


def _word_syllables(word: str, read: Callable[[str], list[str]]) -> list[str]:
    syllables = read(word)
    if len(syllables) != len(word):
        syllables = [(read(character) or [""])[0] for character in word]
    return [syllable if re.fullmatch(r"[a-zêü]+[1-5]", syllable) else "" for syllable in syllables]


def _correct_readings(run: str, syllables: list[str], words: list[str]) -> None:
    """Readings of single characters that only their neighbours tell; phrases are right already."""
    start = 0
    for word in words:
        i, start = start, start + len(word)
        before, after = run[i - 1 : i], run[start : start + 1]
        if word in _ALONE:
            syllables[i] = _ALONE[word]
        elif word == "得":
            syllables[i] = _de(before, after)
        elif word == "地" and after not in _PLACE_WORDS and after:
            if before in _ADVERB_ENDS or (i >= 2 and run[i - 2] == before):
                syllables[i] = "de5"
        elif word == "长" and (before in _LONG_AFTER or after in _DIGITS) and before:
            syllables[i] = "chang2"
        elif word.endswith("儿") and i + len(word) > 1 and run[start - 2] not in _FULL_ER:
            syllables[start - 1] = "er5"


def _de(before: str, after: str) -> str:
    if after in _GETS and after:
        return "de2"
    if before in _MUST_AFTER:
        return "dei3" if before else "de2"
    return "de5"


def _change_yi_and_bu(run: str, syllables: list[str], words: list[str]) -> None:
    """一 and 不 before another syllable; 一 as a digit, and at the end of a word (统一), stays."""
    word_ends = {sum(map(len, words[: k + 1])) - 1 for k, word in enumerate(words) if len(word) > 1}
    for i, character in enumerate(run):
        following = syllables[i + 1][-1:] if i + 1 < len(run) else ""
        if character == "不" and syllables[i] == "bu4" and following == "4":
            syllables[i] = "bu2"
        elif character == "一" and syllables[i] and (i not in word_ends or run[i + 1 : i + 2] in {"个", "個"}):
            syllables[i] = _yi(run, i, following)


def _yi(run: str, i: int, following: str) -> str:
    before, after = run[i - 1 : i] if i else "", run[i + 1 : i + 2]
    point = after == "点" and run[i + 2 : i + 3] in _DIGITS and i + 2 < len(run)
    if not following or before in _ONE_AFTER or (before in _DIGITS and before) or after in _DIGITS or point:
        return "yi1"
    if before == after:
        return "yi5"  # 看一看
    if (
        after in "月号十"
        or (before == "月" and after == "日")
        or (before and before in "十点" and after not in "百千万亿")
    ):
        return "yi1"
    return "yi2" if following == "4" or after in "个個" else "yi4"


def _change_third_tones(syllables: list[str]) -> None:
    """Of third tones in a row every first of a pair rises: 3 3 → 2 3, 3 3 3 → 2 2 3, 3 3 3 3 → 2 3 2 3."""
    start = 0
    while start < len(syllables):
        end = start
        while end < len(syllables) and syllables[end].endswith("3"):
            end += 1
        length = end - start
        for offset in range(length - 1):
            if offset % 2 == 0 or (length % 2 == 1 and offset == length - 2):
                syllables[start + offset] = syllables[start + offset][:-1] + "2"
        start = max(end, start + 1)
