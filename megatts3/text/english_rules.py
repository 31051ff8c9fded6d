"""English: how money, telephone numbers, dates, abbreviations, addresses and symbols are said.

`before` runs ahead of the general normaliser and takes what that one gets wrong; `after` says what is left.
"""

from __future__ import annotations

import re

from megatts3.text import entities
from megatts3.text.spoken_numbers import (
    english_decade,
    english_digits,
    english_number,
    english_ordinal,
    english_year,
)

_CENTS = ("cent", "cents")
_US, _HK, _EURO = ("US dollar", "US dollars"), ("Hong Kong dollar", "Hong Kong dollars"), ("euro", "euros")
_POUND, _PENCE, _YUAN = ("pound", "pounds"), ("penny", "pence"), ("yuan", "yuan")
_CURRENCIES = {    # the whole unit and its hundredth, each as one and many
    "$": (("dollar", "dollars"), _CENTS), "US$": (_US, _CENTS), "USD": (_US, _CENTS), "HK$": (_HK, _CENTS),
    "HKD": (_HK, _CENTS), "€": (_EURO, _CENTS), "EUR": (_EURO, _CENTS), "£": (_POUND, _PENCE),
    "GBP": (_POUND, _PENCE), "¥": (_YUAN, None), "RMB": (_YUAN, None), "CNY": (_YUAN, None),
    "JPY": (("yen", "yen"), None),
}  # fmt: skip
_SCALES = {
    "k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion", "t": "trillion",
    "thousand": "thousand", "million": "million", "billion": "billion", "trillion": "trillion",
}  # fmt: skip
_SCALE = re.compile(r"(?: (?P<word>thousand|million|billion|trillion)|(?P<letter>bn|mn|[kmbt]))\b", re.IGNORECASE)
_ADDRESS_MARKS = {
    ".": "dot", "@": "at", "/": "slash", "-": "dash", "_": "underscore", ":": "colon", "+": "plus",
    "~": "tilde",
}  # fmt: skip
_SYMBOLS = {
    "&": "and", "+": "plus", "=": "equals", "≈": "is about", "≠": "is not", "≤": "is at most",
    "≥": "is at least", "<": "is less than", ">": "is greater than", "×": "times", "÷": "divided by",
    "±": "plus or minus", "%": "percent", "‰": "per mille", "°": "degrees", "℃": "degrees Celsius",
    "℉": "degrees Fahrenheit", "@": "at", "√": "square root of", "∞": "infinity", "²": "squared",
    "³": "cubed", "$": "dollars", "€": "euros", "£": "pounds", "¥": "yuan", **dict.fromkeys("/#~*_\\^·", ""),
    **dict.fromkeys("|()", ","),
}  # fmt: skip
_SYMBOL = re.compile("|".join(re.escape(symbol) for symbol in _SYMBOLS))
_ABBREVIATIONS = {
    "mr.": "mister", "mrs.": "missus", "ms.": "miz", "dr.": "doctor", "prof.": "professor", "jr.": "junior",
    "sr.": "senior", "vs.": "versus", "vs": "versus", "etc.": "et cetera", "e.g.": "for example",
    "i.e.": "that is", "approx.": "approximately", "dept.": "department", "est.": "established",
    "ltd.": "limited", "inc.": "incorporated", "gen.": "general", "gov.": "governor", "sgt.": "sergeant",
    "capt.": "captain", "lt.": "lieutenant", "rev.": "reverend", "hon.": "honorable", "mt.": "mount",
    "fig.": "figure", "vol.": "volume", "hrs": "hours", "hr": "hour", "secs": "seconds",
    "w/": "with", "w/o": "without",
}  # fmt: skip
_ABBREVIATION = re.compile(
    r"(?<![\w.'])(?:" + "|".join(re.escape(a) for a in sorted(_ABBREVIATIONS, key=len, reverse=True)) + r")(?!\w)",
    re.IGNORECASE,
)
# These say that the sentence may end with them, so their stop stays when a capital follows.
_FINAL = frozenset({"etc.", "jr.", "sr.", "inc.", "ltd."})
_REGNAL = "Henry|Louis|Charles|George|Edward|Elizabeth|William|James|Richard|Napoleon|Philip|Paul|Pius|Francis"
_ROMAN = re.compile(
    rf"\b(?P<name>{_REGNAL}|[A-Z][a-z]+) (?P<roman>I{{2,3}}|IV|VI{{1,3}}|IX|XI{{1,3}}|XI?V|XVI{{1,3}})\b"
)
_ROMAN_VALUES = {"I": 1, "V": 5, "X": 10}
_MONTHS = (
    "January|February|March|April|May|June|July|August|September|October|November|December|"
    "Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec"
)
_FULL_MONTHS = {name[:3]: name for name in _MONTHS.split("|")[:12]}
_DATE = re.compile(
    rf"\b(?P<month>{_MONTHS})\b\.? (?P<day>[0-3]?\d)(?:st|nd|rd|th)?\b(?!:\d)(?:,? (?P<year>[12]\d{{3}})\b)?"
)
_DAY_FIRST = re.compile(
    rf"\b(?P<day>[0-3]?\d)(?:st|nd|rd|th)? (?P<month>{_MONTHS})\b\.?(?:,? (?P<year>[12]\d{{3}})\b)?"
)
_YEAR = re.compile(
    r"(?P<before>\b(?:in|since|from|until|till|by|year|of|before|after|during|early|late|circa|summer|winter|"
    rf"spring|autumn|fall|{_MONTHS}),? )(?P<year>1[1-9]\d\d|20\d\d)\b"
    r"(?![,.:/%-]?\d| ?%| (?:people|years|miles|men|meters|dollars))",
    re.IGNORECASE,
)
_DECADE = re.compile(r"\b(?P<decade>1[1-9]\d0|20\d0)'?s\b")


def before(text: str) -> str:
    """Addresses, abbreviations, money, telephone numbers, dates and years, in words."""
    text = entities.EMAIL.sub(lambda m: _address(m["address"]), text)
    text = entities.URL.sub(lambda m: _address(entities.url_address(m)), text)
    text = entities.latin_names(text)
    text = re.sub(r"(?<![A-Za-z])C\+\+(?!\w)", "C plus plus", text)
    text = re.sub(r"(?<=\d)['’](?=\d)", " ", text)
    text = _ROMAN.sub(_roman, text)
    text = re.sub(r"\b24/7\b", "twenty four seven", text)
    text = re.sub(r"\b9/11\b", "nine eleven", text)
    text = re.sub(r"\bpp?\. ?(?=\d)", "page ", text)
    text = re.sub(r"(?<=\d) ?m\b(?!')", " meters", text)
    text = _abbreviations(text)
    text = entities.GROUPED_NUMBER.sub(lambda m: m[0].replace(",", ""), text)
    text = _money(text)
    text = entities.EN_TELEPHONE.sub(
        lambda m: ", ".join(english_digits(group) for group in re.findall(r"\d+", m["digits"])), text
    )
    text = _DECADE.sub(lambda m: english_decade(m["decade"]), text)
    text = _DATE.sub(lambda m: f"{_month(m)} {english_ordinal(m['day'])}{_date_year(m)}", text)
    text = _DAY_FIRST.sub(lambda m: f"{english_ordinal(m['day'])} of {_month(m)}{_date_year(m)}", text)
    text = _YEAR.sub(lambda m: m["before"] + english_year(m["year"]), text)
    text = re.sub(r"(?<!\w)#(?=\d)", "number ", text)
    text = re.sub(r"(?<!\w)#(?=[A-Za-z])", "hashtag ", text)
    text = re.sub(r"\bno\. ?(?=\d)", "number ", text, flags=re.IGNORECASE)
    text = re.sub(r"\b(\d+)(?:st|nd|rd|th)\b", lambda m: english_ordinal(m[1]), text)
    text = entities.VERSION.sub(lambda m: " point ".join(english_number(p) for p in m[0].split(".")), text)
    text = entities.LONG_DIGITS.sub(lambda m: english_digits(m[0]), text)
    return re.sub(r"(?<=\d)\s*[*×x]\s*(?=\d)", " times ", text)


def after(text: str) -> str:
    """Symbols and digits that nobody has read yet, and the dots and hyphens inside words."""
    text = re.sub(rf"(?<![\w-])-\s?(?={entities.NUMBER})", "minus ", text)
    text = re.sub(entities.NUMBER, lambda m: f" {english_number(m[0])} ", text)
    text = _SYMBOL.sub(lambda m: f" {_SYMBOLS[m[0]]} ", text)
    text = re.sub(r"-{2,}|\s-\s", ", ", text)
    text = re.sub(r"\b(?:[A-Za-z]\.){2,}(?=\s+[A-Z]|\s*$)", lambda m: _initials(m[0]) + ".", text)
    text = re.sub(r"\b(?:[A-Za-z]\.){2,}", lambda m: _initials(m[0]), text)
    text = re.sub(r"(?<=\b[A-Z])\.(?= [A-Z][a-z])", "", text)  # John F. Kennedy
    text = re.sub(r"(?<=[A-Za-z])\.(?=[A-Za-z])", ". ", text)
    return text.replace("-", " ")


def _roman(match: re.Match[str]) -> str:
    """Henry VIII → the eighth, World War II → two."""
    values = [_ROMAN_VALUES[letter] for letter in match["roman"]]
    number = sum(-v if v < max(values[i:]) else v for i, v in enumerate(values))
    if re.fullmatch(_REGNAL, match["name"]):
        return f"{match['name']} the {english_ordinal(str(number))}"
    return f"{match['name']} {english_number(str(number))}"


def _initials(dotted: str) -> str:
    return dotted.replace(".", "").upper()


def _abbreviations(text: str) -> str:
    text = re.sub(r"\bSt\.(?= [A-Z])", "Saint", text)
    text = re.sub(r"(?<!\d )\bFt\.(?= [A-Z])", "Fort", text)
    text = re.sub(r"\b([ap])\.?m\.?(?![\w'])", lambda m: f"{m[1].upper()}M", text) if re.search(r"\d", text) else text
    return _ABBREVIATION.sub(_abbreviation, text)


def _abbreviation(match: re.Match[str]) -> str:
    written = match[0].lower()
    ends = written in _FINAL and re.match(r"\s*$|\s+[A-Z]", match.string[match.end() :])
    return _ABBREVIATIONS[written] + ("." if ends else "")


def _month(match: re.Match[str]) -> str:
    return _FULL_MONTHS[match["month"][:3]]


def _date_year(match: re.Match[str]) -> str:
    return f", {english_year(match['year'])}" if match["year"] else ""


def _money(text: str) -> str:
    for pattern in (entities.MONEY_BEFORE, entities.MONEY_AFTER):
        done, out = 0, ""
        for match in pattern.finditer(text):
            scale = _SCALE.match(text, match.end()) if pattern is entities.MONEY_BEFORE else None
            out += text[done : match.start()] + _amount(match, scale)
            done = scale.end() if scale else match.end()
        text = out + text[done:]
    return text


def _amount(match: re.Match[str], scale: re.Match[str] | None) -> str:
    (one, many), hundredth = _CURRENCIES[match["sign"].upper()]
    minus = "minus " if match["minus"] else ""
    whole, _, fraction = match["number"].partition(".")
    if scale:
        word = _SCALES[(scale["word"] or scale["letter"]).lower()]
        return f"{minus}{english_number(match['number'])} {word} {many}"
    if hundredth is None or len(fraction) not in {0, 2}:
        number = match["number"].removesuffix(".00")
        return f"{minus}{english_number(number)} {one if number == '1' else many}"
    parts = (
        [f"{english_number(whole)} {one if int(whole) == 1 else many}"] if int(whole) or not int(fraction or 0) else []
    )
    if int(fraction or 0):
        parts.append(f"{english_number(fraction)} {hundredth[0] if int(fraction) == 1 else hundredth[1]}")
    return minus + " and ".join(parts)


def _address(address: str) -> str:
    words = re.sub(r"(?<![A-Za-z])[a-z](?![A-Za-z])", lambda m: m[0].upper(), address)  # a letter, no article
    words = re.sub(r"[.@/_:+~-]", lambda m: f" {_ADDRESS_MARKS[m[0]]} ", words)
    return " " + re.sub(r"\d", lambda m: f" {english_digits(m[0])} ", words) + " "
