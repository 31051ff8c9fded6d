"""The phone and tone inventory: names and ids, merged codes, pause classes, pinyin and ARPAbet.

The tables are data (`data/tokens.json`, the model's own); this module only reads and relates them.
What a word sounds like is not decided here but in `pronunciation.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

from megatts3.errors import UnknownPhone

UNKNOWN = 2
SILENCE = 145
ELLIPSIS = 146
NO_TONE = 3  # English, punctuation and silence carry this tone id
NEUTRAL_TONE = 5  # pinyin's light tone, as a digit
TONE_IDS: Mapping[int, int] = MappingProxyType({1: 4, 2: 11, 3: 12, 4: 13, 5: 14, 6: 15})  # digit → tone id

CHINESE_PHONES = range(3, 101)
ENGLISH_PHONES = range(101, 145)
PUNCTUATION = range(146, 174)
PHONE_VOCAB_SIZE = 174

# 。 ！ ？ and silence last at least 640 ms inside a segment, ， and ； at least 320 ms (the duration rules).
SENTENCE_PAUSES = frozenset({148, 153, 166, SILENCE})
CLAUSE_PAUSES = frozenset({163, 165})

MERGED_TONES = 6
MERGED_BASE = 200
FIRST_MERGED_CODE = 201
LAST_MERGED_CODE = 788

PUNCTUATION_NAMES: Mapping[str, str] = MappingProxyType(
    {",": "，", ".": "。", "!": "！", "?": "？", ":": "：", ";": "；"}
)


@dataclass(frozen=True)
class Inventory:
    """Phone names and ids, both ways."""

    ids: Mapping[str, int]
    names: tuple[str, ...]  # names[id]

    def id(self, name: str) -> int:
        """The id of a phone name, `C0zh` or `E0ah` or `，`; UnknownPhone if there is none."""
        try:
            return self.ids[name]
        except KeyError:
            raise UnknownPhone(name) from None

    def encode(self, names: Sequence[str]) -> tuple[int, ...]:
        """Ids of names; what is not in the table becomes `<UNK>`, as in the model's own encoder."""
        return tuple(self.ids.get(name, UNKNOWN) for name in names)

    def decode(self, ids: Sequence[int]) -> tuple[str, ...]:
        """Names of ids, for reading and for tests."""
        return tuple(self.names[i] for i in ids)


@cache
def inventory() -> Inventory:
    """The tables, read once."""
    table = json.loads(resources.files(__package__).joinpath("data/tokens.json").read_text("utf-8"))
    ids: dict[str, int] = table["phones"]
    names = tuple(sorted(ids, key=ids.__getitem__))
    assert len(names) == PHONE_VOCAB_SIZE == table["phone_vocab_size"]
    return Inventory(MappingProxyType(ids), names)


@cache
def tone_names() -> Mapping[int, str]:
    """Tone ids to the names of the tables: `1` to `6` as in pinyin, `0` where a phone has none."""
    table = json.loads(resources.files(__package__).joinpath("data/tokens.json").read_text("utf-8"))
    tones: dict[str, int] = table["tones"]
    return MappingProxyType({tone: name for name, tone in tones.items()})


def is_chinese_phone(phone: int) -> bool:
    return phone in CHINESE_PHONES


def is_english_phone(phone: int) -> bool:
    return phone in ENGLISH_PHONES


def is_punctuation(phone: int) -> bool:
    return phone in PUNCTUATION


def is_speech(phone: int) -> bool:
    """Whether a phone is spoken, rather than a pause."""
    return phone in CHINESE_PHONES or phone in ENGLISH_PHONES


def is_sentence_pause(phone: int) -> bool:
    return phone in SENTENCE_PAUSES


def is_clause_pause(phone: int) -> bool:
    return phone in CLAUSE_PAUSES


def punctuation_phone(mark: str) -> int | None:
    """The phone of a punctuation mark, ASCII or full-width; None where the inventory has none."""
    name = PUNCTUATION_NAMES.get(mark, mark)
    phone = inventory().ids.get(name)
    return phone if phone is not None and is_punctuation(phone) else None


# --- merged codes: one number for a phone and its tone, as the aligner and the G2P network write them ---


def encode_code(phone: int, tone: int) -> int:
    """Merge one phone and its tone id; phones other than Chinese keep their id."""
    if not is_chinese_phone(phone):
        return phone
    rank = tone - 9 if tone != TONE_IDS[1] else 1
    if not 1 <= rank <= MERGED_TONES:
        raise UnknownPhone(tone)
    return (phone - CHINESE_PHONES.start) * MERGED_TONES + MERGED_BASE + rank


def decode_code(code: int) -> tuple[int, int]:
    """Phone and tone id of one code, by the reference's arithmetic, unchecked (200 gives `<UNK>`)."""
    if not MERGED_BASE <= code <= LAST_MERGED_CODE:
        return code, NO_TONE
    phone, rank = divmod(code - FIRST_MERGED_CODE, MERGED_TONES)
    return phone + CHINESE_PHONES.start, TONE_IDS[rank + 1]


def encode_codes(phones: Sequence[int], tones: Sequence[int]) -> tuple[int, ...]:
    return tuple(encode_code(phone, tone) for phone, tone in zip(phones, tones, strict=True))


def decode_codes(codes: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Phones and tones of a whole sequence.

    Raises:
        UnknownPhone: a code is neither a phone nor a merged code.  The reference lets it pass and
            fails later with an index error.
    """
    for code in codes:
        if not (CHINESE_PHONES.start <= code < PHONE_VOCAB_SIZE or FIRST_MERGED_CODE <= code <= LAST_MERGED_CODE):
            raise UnknownPhone(code)
    pairs = [decode_code(code) for code in codes]
    return tuple(phone for phone, _ in pairs), tuple(tone for _, tone in pairs)


# --- pinyin ---

_INITIALS = ("zh", "ch", "sh", *"bpmfdtnlgkhjqxrzcs")  # two letters first
_WHOLE = {    # spelling rules of syllables without an initial, and the odd ones
    "yi": "i", "ya": "ia", "yo": "io", "ye": "ie", "yao": "iao", "you": "iou", "yan": "ian", "yin": "in",
    "yang": "iang", "ying": "ing", "yong": "iong", "yai": "ia",
    "yu": "v", "yue": "ve", "yuan": "van", "yun": "vn",
    "wu": "u", "wa": "ua", "wo": "uo", "wai": "uai", "wei": "uei", "wan": "uan", "wen": "uen",
    "wang": "uang", "weng": "ueng", "wong": "ueng", "ê": "ei", "eh": "ei", "r": "er",
    "m": "m", "n": "n", "ng": "ng",
}  # fmt: skip
_FINAL_BEGINS = frozenset("aeiouv")
_CONTRACTED = {"iu": "iou", "ui": "uei", "un": "uen", "ue": "ve", "ün": "vn"}


@cache
def syllable_phones(syllable: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Phones and tones of one pinyin syllable, `zhong1` → initial and final, both with the tone of it.

    The tone digit is 1–5 (none or 0 is the neutral tone); ü is written `v` or `ü`.  Syllables without an
    initial give the final alone.  A final `r` (`huar1`) takes the inventory's erhua final; `r` alone is `er`.

    Raises:
        UnknownPhone: not a syllable.
    """
    spelling, tone = _split_tone(syllable)
    phones = inventory().encode([f"C0{part}" for part in _syllable_parts(spelling, syllable)])
    return phones, (TONE_IDS[tone],) * len(phones)


def _split_tone(syllable: str) -> tuple[str, int]:
    spelling = syllable.lower().replace("ü", "v").replace("u:", "v")
    if spelling and spelling[-1] in "012345":
        return spelling[:-1], int(spelling[-1]) or NEUTRAL_TONE
    return spelling, NEUTRAL_TONE


def _syllable_parts(spelling: str, syllable: str) -> tuple[str, ...]:
    """Initial and final, or the final alone, as the inventory names them."""
    if spelling in _WHOLE:
        return (_WHOLE[spelling],)
    for candidate, erhua in ((spelling, ""), (spelling.removesuffix("r"), "r")):
        if erhua and candidate == spelling:
            break
        initial, final = _split_initial(candidate)
        if candidate in _WHOLE:
            initial, final = "", _WHOLE[candidate]
        sounds = final[:1] in _FINAL_BEGINS or (initial == "h" and final in {"m", "ng"})  # hm, hng
        if sounds and f"C0{final}{erhua}" in inventory().ids:
            return (initial, final + erhua) if initial else (final + erhua,)
    raise UnknownPhone(syllable)


def _split_initial(spelling: str) -> tuple[str, str]:
    initial = next((i for i in _INITIALS if spelling.startswith(i)), "")
    final = spelling[len(initial) :]
    if initial in {"j", "q", "x"} and final.startswith("u"):  # u after j, q, x is ü
        final = "v" + final[1:]
    elif final in {"i", "ir"} and initial in {"z", "c", "s"}:
        final = "i" + final
    elif final in {"i", "ir"} and initial in {"zh", "ch", "sh", "r"}:
        final = "ii" + final
    elif initial:
        final = _CONTRACTED.get(final, final)
    return initial, final


# --- ARPAbet ---


@cache
def arpabet_phone(name: str) -> int:
    """The phone of an ARPAbet name, `AH0`, `AH1` or `ax`: stress is dropped, unstressed AH is `ax`.

    Raises:
        UnknownPhone: not an ARPAbet phone.
    """
    bare = name.rstrip("012").lower()
    phone = inventory().ids.get("E0ax" if name.lower() == "ah0" else f"E0{bare}")
    if phone is None:
        raise UnknownPhone(name)
    return phone


def arpabet_phones(names: Sequence[str]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Phones and tones of ARPAbet names."""
    phones = tuple(arpabet_phone(name) for name in names)
    return phones, (NO_TONE,) * len(phones)
