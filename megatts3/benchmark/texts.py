"""Texts that nothing can have seen before: put together from word lists, mixed in language and length, no two alike."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle

_ADJECTIVES = "old quiet narrow golden broken distant heavy early gentle wooden bitter hidden famous empty".split()  # noqa: SIM905  a list of words reads better as words
_NOUNS = "doctor window river garden letter market island engine painter captain station forest teacher bridge".split()  # noqa: SIM905  as above
_VERBS = "followed remembered opened crossed painted repaired forgot visited described measured carried missed".split()  # noqa: SIM905  as above
_PLACES = ["before the storm", "after the long winter", "near the harbour", "behind the church", "on a cold morning"]

_WHO = "老师 医生 朋友 孩子 邻居 司机 画家 同学 工人 客人".split()  # noqa: SIM905  as above
_WHEN = "今天 昨天早上 明天下午 每个周末 去年冬天 下雨的时候 吃饭以后 天黑之前".split()  # noqa: SIM905  as above
_DID = "打开了 修好了 买到了 忘记了 看见了 画出了 送来了 找到了".split()  # noqa: SIM905  as above
_WHAT = "旧房子的门 一本有趣的书 红色的自行车 院子里的花 山上的小路 河边的桥 一封长长的信 新的地图".split()  # noqa: SIM905  as above

# Clauses of a text, in turn.
SHORT_LENGTHS = (1, 2, 1, 3)
LENGTHS = (1, 2, 1, 4, 2, 1, 3, 7)  # up to a paragraph of several segments


def english(source: random.Random, clauses: int) -> str:
    """About 2.5 s of speech a clause."""

    def clause() -> str:
        pick = source.choice
        return f"the {pick(_ADJECTIVES)} {pick(_NOUNS)} {pick(_VERBS)} the {pick(_NOUNS)} {pick(_PLACES)}"

    said = ", and ".join(clause() for _ in range(clauses)) + "."
    return said[0].upper() + said[1:]


def chinese(source: random.Random, clauses: int) -> str:
    """About 3 s of speech a clause."""

    def clause() -> str:
        return source.choice(_WHEN) + source.choice(_WHO) + source.choice(_DID) + source.choice(_WHAT)

    return "，".join(clause() for _ in range(clauses)) + "。"


def mixed_texts(seed: int, lengths: Sequence[int] = LENGTHS) -> Iterator[str]:
    """English and Chinese by turns, of all lengths; endless, the same for the same seed."""
    source = random.Random(seed)  # noqa: S311  nothing is kept secret by it
    said: set[str] = set()
    speakers: tuple[Callable[[random.Random, int], str], ...] = (english, chinese)
    # One language more than lengths in a round, so that each language comes to have every length.
    order = zip(cycle(lengths), cycle((0, 1) * len(lengths) + (1, 0) * len(lengths)), strict=False)
    for clauses, language in order:
        text = speakers[language](source, clauses)
        while text in said:
            text = speakers[language](source, clauses)
        said.add(text)
        yield text


def page(characters: int, seed: int) -> str:
    """One English text of at least so many characters, whole sentences, like a page of a book."""
    source = random.Random(seed)  # noqa: S311  as above
    text = english(source, 2)
    while len(text) < characters:
        text += " " + english(source, source.choice((1, 2, 3)))
    return text
