"""What money, telephone numbers, addresses and versions look like; how they are said is per language."""

from __future__ import annotations

import re

NUMBER = r"\d+(?:\.\d+)?"
GROUPED_NUMBER = re.compile(r"(?<![\d,.])\d{1,3}(?:,\d{3})+(?![\d,])")

_SIGNS = r"US\$|HK\$|[$€£¥]|RMB|CNY|USD|EUR|GBP|HKD|JPY"
MONEY_BEFORE = re.compile(rf"(?P<minus>-?)(?P<sign>{_SIGNS})\s?(?P<number>{NUMBER})(?!\d)", re.IGNORECASE)
MONEY_AFTER = re.compile(rf"(?P<minus>)(?P<number>{NUMBER})\s?(?P<sign>{_SIGNS})(?![A-Za-z\d])", re.IGNORECASE)

_DOMAINS = "com|org|net|edu|gov|io|ai|cn|dev|app|info|me|co|uk|de|fr|jp|eu|us|tv|xyz|top"
EMAIL = re.compile(r"(?P<address>[A-Za-z0-9][\w.+-]*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)", re.ASCII)
URL = re.compile(
    r"(?<![\w@.])(?:(?:https?|ftp)://(?P<full>[A-Za-z0-9.-]+(?::\d+)?(?:/[\w.~-]+)*)"
    rf"|(?P<bare>(?:[A-Za-z0-9-]+\.)+(?:{_DOMAINS})(?:/[\w.~-]+)*))(?![A-Za-z0-9])"
    r"(?:/?[?#][\w=&%+./~-]*|/)?",
    re.ASCII | re.IGNORECASE,
)

MOBILE = re.compile(r"(?<![\d.])(?:\+?(?P<country>86)[ -]?)?(?P<digits>1[3-9]\d[ -]?\d{4}[ -]?\d{4})(?![\d.]\d|\d)")
LANDLINE = re.compile(r"(?<![\d.-])\(?(?P<digits>0\d{2,3}[)-] ?\d{7,8}|[48]00-\d{3}-?\d{4})(?![\d-])")
CODE = re.compile(r"(?P<before>(?:QQ|微信|账号|编号|密码|邮编|验证码|尾号)号?[:： 是为]*)(?P<digits>\d{3,})(?!\d)")
SHORT_LINE = re.compile(r"(?P<before>(?:拨打|拨|打|电话|热线|报警)[:： ]?)(?P<digits>\d{3,6})(?![\d.年月日个元])")
EN_TELEPHONE = re.compile(
    r"(?<![\d.-])(?P<digits>(?:\+?\d{1,2}[-. ])?(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}|\d{3}-\d{4})"
    r"(?![\d-])"
)
VERSION = re.compile(r"(?<![\d.])\d+(?:\.\d+){2,}(?![\d.]?\d)")
LONG_DIGITS = re.compile(r"(?<![\d.])\d{12,}(?!\d)")


def url_address(match: re.Match[str]) -> str:
    """Host and path of a URL; scheme, query and fragment are not spoken."""
    return (match["full"] or match["bare"]).rstrip(".")


def latin_names(text: str) -> str:
    """Symbols that are part of a name: AT&T, C#."""
    text = re.sub(r"(?<=[A-Za-z])&(?=[A-Za-z])", " and ", text)
    return re.sub(r"(?<![A-Za-z])([CF])#(?!\w)", r"\1 sharp", text, flags=re.ASCII)
