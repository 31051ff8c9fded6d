"""Chinese: how money, telephone numbers, addresses and symbols are said.

`before` runs ahead of the general normaliser and takes what that one gets wrong; `after` says what is left.
"""

from __future__ import annotations

import re

from megatts3.text import entities
from megatts3.text.spoken_numbers import chinese_digits, chinese_number

_CURRENCIES = {
    "US$": "美元", "HK$": "港元", "$": "美元", "€": "欧元", "£": "英镑", "¥": "元", "RMB": "元", "CNY": "元",
    "USD": "美元", "EUR": "欧元", "GBP": "英镑", "HKD": "港元", "JPY": "日元",
}  # fmt: skip
_ADDRESS_MARKS = {
    ".": "点",
    "@": "艾特",
    "/": "斜杠",
    "-": "杠",
    "_": "下划线",
    ":": "冒号",
    "+": "加",
    "~": " ",
}
_UNITS = {"g": "克", "m": "米", "L": "升"}  # the general normaliser has the longer ones
_SYMBOLS = {
    "&": "和", "+": "加", "=": "等于", "≈": "约等于", "≠": "不等于", "≤": "小于等于", "≥": "大于等于",
    "<": "小于", ">": "大于", "×": "乘", "÷": "除以", "±": "正负", "%": "百分号", "‰": "千分号", "@": "艾特",
    "°": "度", "℃": "摄氏度", "℉": "华氏度", "√": "根号", "∞": "无穷大", "²": "平方", "³": "立方",
    "$": "美元", "€": "欧元", "£": "英镑", "¥": "元", "·": "", **dict.fromkeys("#~*_\\^", " "),
    **dict.fromkeys("/|()", ","),
}  # fmt: skip
_SYMBOL = re.compile("|".join(re.escape(symbol) for symbol in _SYMBOLS))


def addresses(text: str) -> str:
    """URLs and e-mail addresses in words, and the symbols inside Latin names."""
    text = entities.EMAIL.sub(lambda m: _address(m["address"]), text)
    text = entities.URL.sub(lambda m: _address(entities.url_address(m)), text)
    text = entities.latin_names(text)
    text = entities.CODE.sub(lambda m: m["before"] + chinese_digits(m["digits"]), text)
    return re.sub(r"[#＃]([^#＃\s]{1,30})[#＃]", r"\1,", text)  # a topic between two hash signs


def before(text: str) -> str:
    """Money, telephone numbers, versions and very long numbers, in words."""
    text = entities.GROUPED_NUMBER.sub(lambda m: m[0].replace(",", ""), text)
    text = entities.MOBILE.sub(_mobile, text)
    text = entities.LANDLINE.sub(lambda m: _telephone(m["digits"]), text)
    text = entities.SHORT_LINE.sub(lambda m: m["before"] + _telephone(m["digits"]), text)
    text = entities.MONEY_BEFORE.sub(_money, text)
    text = entities.MONEY_AFTER.sub(_money, text)
    text = re.sub(rf"[#＃](?P<n>{entities.NUMBER})", r"\g<n>号", text)
    text = entities.VERSION.sub(lambda m: "点".join(chinese_number(part) for part in m[0].split(".")), text)
    text = re.sub(r"(?<![\d.:：/-])0\d+(?![\d.:：/年月日-])", lambda m: chinese_digits(m[0]), text)
    text = re.sub(r"(?<=[A-Za-z])-(?=\d)", " ", text)  # GPT-4 is no negative number
    text = re.sub(r"(?<=\d)\s?([gmL])(?![A-Za-z²³])", lambda m: _UNITS[m[1]], text)
    text = entities.LONG_DIGITS.sub(lambda m: chinese_digits(m[0]), text)
    text = re.sub(r"(?<=\d)\s*[*×x]\s*(?=\d)", "乘", text)
    return re.sub(r"(?<=\d)\s*=\s*", "等于", text)


def after(text: str) -> str:
    """Symbols and digits that nobody has read yet."""
    text = re.sub(rf"-\s?({entities.NUMBER})", r"负\1", text)
    text = re.sub(rf"({entities.NUMBER})\s?%", r"百分之\1", text)
    text = re.sub(entities.NUMBER, lambda m: chinese_number(m[0]), text)
    text = _SYMBOL.sub(lambda m: _SYMBOLS[m[0]], text)
    text = re.sub(r"-{2,}|\s-\s", ",", text)
    return text.replace("-", " ")


def _money(match: re.Match[str]) -> str:
    minus = "负" if match["minus"] else ""
    scale = re.match(r"\s?[百千万亿]+", match.string[match.end() :])
    if scale:  # ¥3万: the unit follows the scale, and the number is read with it
        return f"{minus}{chinese_number(match['number'])}"
    unit = _CURRENCIES[match["sign"].upper()]
    unit = "" if match.string.startswith(unit, match.end()) else unit  # ￥5元 says it twice
    return f"{minus}{chinese_number(match['number'])}{unit}"


def _mobile(match: re.Match[str]) -> str:
    country = f"加{chinese_digits(match['country'], telephone=True)}," if match["country"] else ""
    return country + chinese_digits(re.sub(r"\D", "", match["digits"]), telephone=True)


def _telephone(digits: str) -> str:
    return ",".join(chinese_digits(group, telephone=True) for group in re.findall(r"\d+", digits))


def _address(address: str) -> str:
    """An address in words; its names stay English, its marks are said in Chinese."""
    address = re.sub(r"\d", lambda m: chinese_digits(m[0]), address)
    words = re.sub(r"[.@/_:+~-]", lambda m: f" {_ADDRESS_MARKS[m[0]]} ", address)
    return f" {words} "
