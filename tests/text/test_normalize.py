"""What is said of numbers, money, dates, addresses and symbols; cases that general normalisers get wrong."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatts3.text.normalize import normalize

CHINESE = {
    "￥1,234.50": "一千二百三十四点五元",
    "共￥1234.50元": "共一千二百三十四点五元",
    "价格￥1,234.50，很贵": "价格一千二百三十四点五元，很贵",
    "￥3万元": "三万元",
    "$100和€20": "一百美元和二十欧元",
    "花了US$5买": "花了五美元买",
    "2024年5月1日": "二零二四年五月一日",
    "2024-05-01": "二零二四年五月一日",
    "12:30": "十二点三十分",
    "3/4": "四分之三",
    "50%": "百分之五十",
    "-5℃": "负五摄氏度",
    "25°C": "二十五摄氏度",
    "请拨打13812345678": "请拨打幺三八幺二三四五六七八",
    "138-1234-5678": "幺三八幺二三四五六七八",
    "+86 138 1234 5678": "加八六，幺三八幺二三四五六七八",
    "电话010-12345678": "电话零幺零，幺二三四五六七八",
    "拨打110报警": "拨打幺幺零报警",
    "QQ：123456": "QQ：一二三四五六",
    "1,234名": "一千二百三十四名",
    "100倍": "一百倍",
    "3~5个": "三到五个",
    "1.5kg": "一点五千克",
    "第3名": "第三名",
    "3.14": "三点一四",
    "比分2:1": "比分二比一",
    "版本1.2.3": "版本一点二点三",
    "3+5=8": "三加五等于八",
    "１＋１＝２": "一加一等于二",
    "全角ＡＢＣ１２３": "全角ABC一百二十三",
    "100，200，300": "一百，两百，三百",
    "MegaTTS3发布了": "MegaTTS三发布了",
    "5G手机和A4纸": "五G手机和A四纸",
    "www.baidu.com很好": "www点baidu点com很好",
    "写信给test@example.com。": "写信给test艾特example点com。",
    "访问 https://www.example.com/path?q=1 看看": "访问www点example点com斜杠path看看",
    "AT&T公司": "AT and T公司",
    "你好！！！！真的吗？？": "你好！真的吗？",
    "《红楼梦》（清代）很好看": "红楼梦，清代，很好看",
    "他说：“你好……”": "他说：你好…",
    "——那么——走吧": "那么，走吧",
    "史蒂夫·乔布斯": "史蒂夫乔布斯",
    "第一行\n第二行": "第一行。第二行",
    "他说 I have 3 apples and 2 oranges. 好吧": "他说I have three apples and two oranges。好吧",
    "GPT-4o和250g": "GPT四o和两百五十克",
    "我有3个 apple": "我有三个apple",
}
ENGLISH = {
    "$1,234.50": "one thousand two hundred and thirty four dollars and fifty cents",
    "$1234.50": "one thousand two hundred and thirty four dollars and fifty cents",
    "$0.99": "ninety nine cents",
    "$1": "one dollar",
    "£20.50": "twenty pounds and fifty pence",
    "$3.5bn": "three point five billion dollars",
    "$5 million": "five million dollars",
    "12 USD": "twelve US dollars",
    "Call 555-0123 now.": "Call five five five, zero one two three now.",
    "(415) 555-0123": "four one five, five five five, zero one two three",
    "I have 3 apples.": "I have three apples.",
    "On May 1, 2024 at 12:30": "On May first, twenty twenty four at twelve thirty",
    "July 4th": "July fourth",
    "in 1984": "in nineteen eighty four",
    "the 1990s": "the nineteen nineties",
    "50%": "fifty percent",
    "-5°C": "negative five degrees Celsius",
    "100,000": "one hundred thousand",
    "21st": "twenty first",
    "3/4": "three quarters",
    "5kg": "five kilograms",
    "10 km/h": "ten kilometers per hour",
    "Dr. Smith and Mrs. Jones": "doctor Smith and missus Jones",
    "St. John vs. No. 5": "Saint John versus number five",
    "I live in the U.S. It is big.": "I live in the US. It is big.",
    "John F. Kennedy": "John F Kennedy",
    "5 p.m.": "five PM",
    "3.14": "three point one four",
    "HTTP/2": "HTTP two",
    "MegaTTS3": "MegaTTS three",
    "state-of-the-art": "state of the art",
    "it's": "it's",
    "www.google.com": "www dot google dot com",
    "Mail john.doe@example.com.": "Mail john dot doe at example dot com.",
    "#5 and #winning": "number five and hashtag winning",
    "and/or": "and or",
    "C++ and C#": "C plus plus and C sharp",
    "AT&T": "AT and T",
    "1 + 2 = 3": "one plus two equals three",
    "Hello (world)!": "Hello, world!",
    "“Quotes” and ‘single’ it’s": "Quotes and single it's",
    "wow!!! really?!": "wow! really?",
    "naïve café": "naive cafe",
    "a wrapped\nline of text": "a wrapped line of text",
    "World War II and Henry VIII": "World War two and Henry the eighth",
    "24/7, 20 ft and 5m": "twenty four seven, twenty feet and five meters",
    "GPT-4 and COVID-19": "GPT four and COVID nineteen",
    "Version 1.2.3": "Version one point two point three",
}
MESSY = st.text(
    st.one_of(
        st.sampled_from(list("0123456789.,:/-+%$¥￥€#@&*=~'\"()（）“”，。！？、…— \n\t年月日元个点第中文ABCabcxyz")),
        st.characters(max_codepoint=0x2FFFF),
    ),
    max_size=60,
)


@pytest.mark.parametrize(("written", "spoken"), CHINESE.items())
def test_chinese_is_said_as_written_here(written, spoken):
    assert normalize(written, "zh").text == spoken


@pytest.mark.parametrize(("written", "spoken"), ENGLISH.items())
def test_english_is_said_as_written_here(written, spoken):
    assert normalize(written, "en").text == spoken


@settings(max_examples=100, deadline=None)
@given(MESSY, st.sampled_from(["zh", "en"]))
def test_normalising_twice_changes_nothing(text, language):
    once = normalize(text, language).text
    assert normalize(once, language).text == once


@settings(max_examples=100, deadline=None)
@given(MESSY, st.sampled_from(["zh", "en"]))
def test_only_letters_han_and_marks_are_left(text, language):
    marks = "，。！？：；、…" if language == "zh" else ",.!?:;…"
    spoken = normalize(text, language).text
    assert re.fullmatch(rf"[A-Za-z' {marks}\u3005\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af]*", spoken)
    assert "  " not in spoken


def test_what_cannot_be_said_is_named_once_and_in_order():
    assert normalize("你好😀 Привет 😀", "zh").dropped == ("😀", "П", "р", "и", "в", "е", "т")


def test_quotes_blanks_and_control_characters_go_silently():
    normalized = normalize("“你\u200b好”\u0007\ufeff\u3000吗？", "zh")
    assert (normalized.text, normalized.dropped) == ("你好吗？", ())


def test_a_very_long_text_takes_time_in_proportion():
    sentence = "第3章一共有25页，价格是￥1,234.50，2024年5月1日出版。"
    normalize(sentence, "zh")
    start = time.perf_counter()
    spoken = normalize(sentence * 60, "zh").text
    assert spoken == normalize(sentence, "zh").text * 60
    assert time.perf_counter() - start < 10


def test_text_without_any_border_is_normalised_in_pieces():
    assert normalize("1" * 5000, "zh").text == "一" * 5000
    assert normalize("字" * 5000, "zh").text == "字" * 5000


def test_threads_share_the_normaliser():
    with ThreadPoolExecutor(4) as pool:
        spoken = list(pool.map(lambda n: normalize(f"共{n}个", "zh").text, [7] * 40))
    assert set(spoken) == {"共七个"}
