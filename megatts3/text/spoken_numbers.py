"""Digits to words, Chinese and English.  Pure functions over digit strings; no context is looked at."""

from __future__ import annotations

_ZH_DIGITS = "零一二三四五六七八九"
_ZH_PLACES = ("", "十", "百", "千")
_ZH_GROUPS = ("", "万", "亿", "万亿")
_EN_ONES = (  # noqa: SIM905  a list of twenty lines reads worse
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_EN_TENS = ("", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_EN_GROUPS = ("", "thousand", "million", "billion", "trillion")
_EN_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
MAX_DIGITS = 15  # longer whole numbers are read digit by digit


def chinese_digits(digits: str, *, telephone: bool = False) -> str:
    """One by one: `110` → 一一零, on the telephone 幺幺零."""
    spoken = "".join(_ZH_DIGITS[int(digit)] for digit in digits)
    return spoken.replace("一", "幺") if telephone else spoken


def chinese_number(number: str) -> str:
    """`1234.50` → 一千二百三十四点五; trailing zeros of the fraction are not spoken."""
    whole, _, fraction = number.partition(".")
    fraction = fraction.rstrip("0")
    spoken = chinese_digits(whole) if len(whole) > MAX_DIGITS else _chinese_whole(int(whole or "0"))
    return f"{spoken}点{chinese_digits(fraction)}" if fraction else spoken


def _chinese_whole(value: int) -> str:
    if value == 0:
        return "零"
    parts: list[str] = []
    gap = False  # a zero place since the last spoken one
    for group in range(len(_ZH_GROUPS) - 1, -1, -1):
        chunk = value // 10_000**group % 10_000
        if chunk == 0:
            gap = gap or bool(parts)
            continue
        if parts and (gap or chunk < 1000):
            parts.append("零")
        parts.append(_chinese_below_10000(chunk) + _ZH_GROUPS[group])
        gap = False
    spoken = "".join(parts)
    return spoken[1:] if spoken.startswith("一十") else spoken


def _chinese_below_10000(chunk: int) -> str:
    spoken = ""
    for place in range(3, -1, -1):
        digit = chunk // 10**place % 10
        if digit:
            spoken += _ZH_DIGITS[digit] + _ZH_PLACES[place]
        elif spoken and not spoken.endswith("零"):
            spoken += "零"
    return spoken.rstrip("零")


def english_digits(digits: str) -> str:
    """One by one: `555` → five five five."""
    return " ".join(_EN_ONES[int(digit)] for digit in digits)


def english_number(number: str) -> str:
    """`1234.50` → one thousand two hundred and thirty four point five zero."""
    whole, _, fraction = number.partition(".")
    spoken = english_digits(whole) if len(whole) > MAX_DIGITS else _english_whole(int(whole or "0"))
    return f"{spoken} point {english_digits(fraction)}" if fraction else spoken


def _english_whole(value: int) -> str:
    if value == 0:
        return _EN_ONES[0]
    parts: list[str] = []
    for group in range(len(_EN_GROUPS) - 1, -1, -1):
        chunk = value // 1000**group % 1000
        if chunk:
            join = "and " if parts and group == 0 and chunk < 100 else ""
            parts.append(f"{join}{_english_below_1000(chunk)} {_EN_GROUPS[group]}".rstrip())
    return " ".join(parts)


def _english_below_1000(chunk: int) -> str:
    hundreds, rest = divmod(chunk, 100)
    words = [f"{_EN_ONES[hundreds]} hundred"] if hundreds else []
    if rest:
        tens, ones = divmod(rest, 10)
        below = _EN_ONES[rest] if rest < 20 else f"{_EN_TENS[tens]} {_EN_ONES[ones] if ones else ''}".rstrip()
        words.append(f"and {below}" if hundreds else below)
    return " ".join(words)


def english_ordinal(digits: str) -> str:
    """`21` → twenty first."""
    *head, last = english_number(digits).split()
    if last in _EN_ORDINALS:
        last = _EN_ORDINALS[last]
    else:
        last = last.removesuffix("y") + ("ieth" if last.endswith("y") else "th")
    return " ".join([*head, last])


def english_year(digits: str) -> str:
    """`1984` → nineteen eighty four, `2005` → two thousand and five, `1900` → nineteen hundred."""
    century, rest = int(digits[:2]), int(digits[2:])
    if century % 10 == 0 and rest < 10:
        return english_number(digits)
    tail = "hundred" if rest == 0 else f"o {_EN_ONES[rest]}" if rest < 10 else english_number(str(rest))
    return f"{english_number(str(century))} {tail}"


def english_decade(digits: str) -> str:
    """`1990` → nineteen nineties, `2000` → two thousands."""
    spoken = english_year(digits)
    return spoken.removesuffix("y") + ("ies" if spoken.endswith("y") else "s")
