"""Literal phone lists: what sentences sound like, Chinese, English and mixed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatts3.text.chinese import chinese_words
from megatts3.text.phones import NO_TONE, SILENCE, TONE_IDS, inventory, is_chinese_phone
from megatts3.text.pronunciation import RulePronouncer

PRONOUNCER = RulePronouncer()
DIGITS = {tone: str(digit) for digit, tone in TONE_IDS.items()} | {NO_TONE: ""}

SENTENCES = {
    "你好，世界！": "n2 i2 h3 ao3 ， sh4 iii4 j4 ie4 ！",
    "今天天气不错，我们去公园玩吧。": "j1 in1 t1 ian1 t1 ian1 q4 i4 b2 u2 c4 uo4 ， uo3 m5 en5 q4 v4 g1 ong1 van2 uan2 b5 a5 。",
    "银行行长在重庆工作，还要还钱。": "in2 h2 ang2 h2 ang2 zh3 ang3 z4 ai4 ch2 ong2 q4 ing4 g1 ong1 z4 uo4 ， h2 ai2 iao4 h2 uan2 q2 ian2 。",
    "绿色的旅游，略有女性。": "l4 v4 s4 e4 d5 e5 l3 v3 iou2 ， l4 ve4 iou2 n3 v3 x4 ing4 。",
    "花儿为什么这样红？": "h1 ua1 er5 uei4 sh2 en2 m5 e5 zh4 e4 iang4 h2 ong2 ？",
    "二零二四年一月一日": "er4 l2 ing2 er4 s4 ii4 n2 ian2 i1 ve4 i1 r4 iii4",
    "我用GPU跑MegaTTS三。": "uo3 iong4 jh iy p iy y uw p3 ao3 m eh g ax t iy t iy eh s s1 an1 。",
    "他笑着说：I love you。": "t1 a1 x4 iao4 zh5 e5 sh1 uo1 ： ay l ah v y uw 。",
    "The quick brown fox jumps over the lazy dog.": "dh ax k w ih k b r aw n f aa k s jh ah m p s ow v er dh ax l ey z iy d ao g 。",
    "I can't believe it's the end of the apple!": "ay k ae n t b ih l iy v ih t s dh iy eh n d ah v dh iy ae p ax l ！",
    "A plan A; vitamin A. A dog?": "ax p l ae n ey ； v ay t ax m ax n ey 。 ax d ao g ？",
    "HTTP and GPUs, in the US, for us…": "ey ch t iy t iy p iy ae n d jh iy p iy y uw z ， ih n dh ax y uw eh s ， f ao r ah s …",
    "MegaTTS three reads the iPhone's state of the art README": "m eh g ax t iy t iy eh s th r iy r iy d z dh iy ay f ow n z s t ey t ah v dh iy aa r t r iy d m iy",
    "He has read the book I read.": "hh iy hh ae z r eh d dh ax b uh k ay r iy d 。",
}
SANDHI = {
    "你好": "ni2 hao3", "我很好": "wo2 hen2 hao3", "我也很好": "wo2 ye3 hen2 hao3", "好": "hao3",
    "一个": "yi2 ge4", "一天": "yi4 tian1", "一年": "yi4 nian2", "一起": "yi4 qi3", "一定": "yi2 ding4",
    "第一": "di4 yi1", "第一名": "di4 yi1 ming2", "十一": "shi2 yi1", "一九七九": "yi1 jiu3 qi1 jiu3",
    "一百一十": "yi4 bai3 yi1 shi2", "一点五": "yi1 dian2 wu3", "看一看": "kan4 yi5 kan4", "统一": "tong3 yi1",
    "周一": "zhou1 yi1", "同一个": "tong2 yi2 ge4", "不是": "bu2 shi4", "不好": "bu4 hao3", "不去": "bu2 qu4",
    "跑得快": "pao3 de5 kuai4", "我得去": "wo2 dei3 qu4", "得到": "de2 dao4", "慢慢地走": "man4 man4 de5 zou3",
    "地方": "di4 fang1", "很长": "hen3 chang2", "长大": "zhang3 da4", "女儿": "nv3 er2", "哪儿": "na3 er5",
    "了解": "liao2 jie3", "好了": "hao3 le5", "睡着了": "shui4 zhao2 le5", "朝阳区": "chao2 yang2 qu1",
}  # fmt: skip


def said(segment):
    names = inventory().decode(segment.phones)
    assert names[0] == "sil"
    return " ".join(
        name.removeprefix("C0").removeprefix("E0") + DIGITS[tone]
        for name, tone in zip(names[1:], segment.tones[1:], strict=True)
    )


@pytest.mark.parametrize(("text", "phones"), SENTENCES.items())
def test_a_sentence_sounds_like_this(text, phones):
    assert said(PRONOUNCER.pronounce(text, "zh")) == phones


@pytest.mark.parametrize(("text", "syllables"), SANDHI.items())
def test_tones_are_those_of_connected_speech(text, syllables):
    assert " ".join(s for word in chinese_words(text) for s in word.syllables) == syllables


def test_only_chinese_phones_carry_tones():
    segment = PRONOUNCER.pronounce("我说hello，再见。", "zh")
    assert segment.phones[0] == SILENCE
    for phone, tone in zip(segment.phones, segment.tones, strict=True):
        assert (tone != NO_TONE) == is_chinese_phone(phone)


def test_words_point_at_their_phones():
    segment = PRONOUNCER.pronounce("我说 big apple，银行。", "zh")
    names = inventory().decode(segment.phones)
    spans = {word.text: " ".join(names[word.first_phone : word.last_phone + 1]) for word in segment.words}
    assert spans == {
        "我": "C0uo", "说": "C0sh C0uo", "big": "E0b E0ih E0g", "apple": "E0ae E0p E0ax E0l", "银行": "C0in C0h C0ang",
    }  # fmt: skip


def test_a_character_without_a_reading_is_named():
    segment = PRONOUNCER.pronounce("好𱁬好", "zh")
    assert segment.unread == ("𱁬",)
    assert said(segment) == "h3 ao3 h3 ao3" or said(segment) == "h2 ao2 h3 ao3"


def test_marks_in_a_row_are_one_pause():
    assert said(PRONOUNCER.pronounce("，，好。！", "zh")) == "h3 ao3 。"


def test_a_word_in_capitals_is_not_spelled_if_the_whole_phrase_is():
    assert said(PRONOUNCER.pronounce("THIS IS IT FOR US NOW", "en")) == "dh ih s ih z ih t f ao r ah s n aw"


@given(st.text(st.sampled_from("abcXYZ'中文一不得长 ，。.-"), max_size=60))
def test_words_lie_in_order_inside_the_segment(text):
    segment = PRONOUNCER.pronounce(text, "zh")
    assert len(segment.phones) == len(segment.tones)
    ends = [edge for word in segment.words for edge in (word.first_phone, word.last_phone)]
    assert ends == sorted(ends)
    assert all(1 <= edge < len(segment.phones) for edge in ends)
