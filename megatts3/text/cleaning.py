"""Characters we can speak, one spelling each (widths, quotes, dashes, accents); the rest is dropped and told.

Words and numbers are not touched here; that is `normalize.py`.
"""

from __future__ import annotations

import re
import unicodedata

# Marks that stay, in the spelling the rules below use; `settle` gives them the width of the language.
# The full-width comma and stop stay apart from the ASCII ones as long as numbers are read: 5。6 is not 5.6.
MARKS = ",.!?:;、…，。"
_WIDE = str.maketrans(",.!?:;", "，。！？：；")
_NARROW = str.maketrans("，。、", ",.,")
_STRENGTH = "、,，:;…。.!?"  # of several marks in a row the strongest is kept

# Read by the rules of the languages, so they survive cleaning.
SYMBOLS = "()%‰°℃℉+-*/=<>≤≥≠≈±×÷~@#&$€£¥_\\|^√∞→←²³"

_REPLACED = {
    **dict.fromkeys("‘’‛′`´＇ʼ", "'"),
    **dict.fromkeys('“”„‟″«»‹›「」『』〝〞《》〈〉＂"', " "),
    **dict.fromkeys("[]{}【】〔〕［］｛｝〖〗—―–•●○◦▪■□◆◇★☆※‖¦│┃─━", ","),
    **dict.fromkeys("‐‑‒−﹣－", "-"),
    **dict.fromkeys("∼～〜˜", "~"),
    **dict.fromkeys("⁄∕", "/"),
    "｡": "。", "．": ".", "，": "，",
    "·": "·", "・": "·", "‧": "·", "ー": "-", "〇": "零", "々": "々", "⋯": "…", "‥": "…",
    "￥": "¥", "﹩": "$", "＄": "$", "％": "%", "﹪": "%", "º": "°", "˚": "°", "✕": "×", "✖": "×", "∙": "·",
    "→": ",", "⇒": ",", "←": ",", "⟶": ",", "➜": ",", "➔": ",",
    "（": "(", "）": ")", "½": " 1/2", "¼": " 1/4", "¾": " 3/4", "⅓": " 1/3", "⅔": " 2/3", "²": "²", "³": "³",
    "¿": " ", "¡": " ", "©": " ", "®": " ", "™": " ",
    "ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d",
    "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ı": "i",
}  # fmt: skip
_KEPT = frozenset(MARKS + SYMBOLS + "·'")
_INVISIBLE = {"Cc", "Cf", "Zs", "Zl", "Zp", "Mn", "Me", "Mc", "Cs", "Co", "Cn"}


def is_han(character: str) -> bool:
    """CJK ideographs, the extensions and compatibility forms included."""
    code = ord(character)
    return (
        0x4E00 <= code <= 0x9FFF
        or 0x3400 <= code <= 0x4DBF
        or 0xF900 <= code <= 0xFAFF
        or 0x20000 <= code <= 0x323AF
        or character == "々"
    )


def is_latin(character: str) -> bool:
    return character.isascii() and character.isalpha()


def clean(text: str) -> tuple[str, tuple[str, ...]]:
    """Text of speakable characters, symbols and ASCII marks; and the characters dropped, each once, in order.

    White space, control and format characters go silently; so do quotation marks.  Emoji, other scripts
    and unknown symbols go and are named.
    """
    out: list[str] = []
    dropped: dict[str, None] = {}
    text = re.sub("° ?(?=[CF](?![A-Za-z]))", "°", unicodedata.normalize("NFC", text))
    text = text.replace("°C", "℃").replace("°F", "℉")
    for character in _join_lines(text):
        for spelled in _spell(character):
            if spelled is None:
                dropped[character] = None
            else:
                out.append(spelled)
    return re.sub(r"\s+", " ", "".join(out)).strip(), tuple(dropped)


def _join_lines(text: str) -> str:
    """A wrapped line goes on (the next begins in lower case); any other line break ends a sentence."""
    text = re.sub(r"[^\S\r\n]*(?:\r\n?|[\u2028\u2029\x85])", "\n", text)
    text = re.sub(r"(?<=[\w,;-])\n(?=[a-z])", " ", text, flags=re.ASCII)
    return re.sub(r"\s*\n\s*", "。", text.strip())


def _spell(character: str) -> list[str | None]:
    if (replaced := _REPLACED.get(character)) is not None:
        return [replaced]
    if is_han(character) or (character.isascii() and character.isalnum()) or character in _KEPT:
        return [unicodedata.normalize("NFKC", character) if is_han(character) else character]
    if unicodedata.category(character) in _INVISIBLE:
        return [_invisible(character)]
    plain = [c for c in unicodedata.normalize("NFKD", character) if unicodedata.category(c) not in {"Mn", "Me"}]
    if plain and plain != [character] and all(_is_simple(c) for c in plain):
        return [spelled for c in plain for spelled in _spell(c)]
    return [None]


def _is_simple(character: str) -> bool:
    return character.isascii() or is_han(character) or character in _KEPT or character in _REPLACED


def _invisible(character: str) -> str:
    """A blank for what has width, nothing for marks, joiners and zero-width blanks."""
    category = unicodedata.category(character)
    return " " if category.startswith("Z") or character in "\t\v\f" else ""


def settle(text: str, *, wide: bool) -> str:
    """Only words and marks: single blanks, one mark at a time, no mark first, the widths of the language.

    `wide` gives the full-width marks of Chinese, without blanks beside Han; else ASCII marks and a blank.
    """
    text = re.sub(r"(?<![A-Za-z])'|'(?![A-Za-z])", " ", text)
    text = re.sub(r"[.。]{2,}|…+", "…", text)
    text = re.sub(rf"[{MARKS}][{MARKS}\s]*", lambda m: _strongest(m[0]), text)
    text = re.sub(rf"\s*([{MARKS}])\s*", r"\1" if wide else r"\1 ", text)
    text = re.sub(r"\s+", " ", text).strip().lstrip(MARKS + " ")
    if not wide:
        return text.translate(_NARROW)
    return re.sub(r"(?<![A-Za-z']) | (?![A-Za-z'])", "", text).translate(_WIDE)


def _strongest(marks: str) -> str:
    return max((mark for mark in marks if not mark.isspace()), key=_STRENGTH.index)
