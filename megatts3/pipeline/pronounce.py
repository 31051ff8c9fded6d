"""The pronunciation network as a Pronouncer, with the dictionaries behind it; which of both a checkpoint gets."""

from __future__ import annotations

import logging
from dataclasses import replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from megatts3.errors import UnknownPhone
from megatts3.text.frontend import TextFrontend
from megatts3.text.phones import decode_codes, is_speech
from megatts3.text.pronunciation import PhonemizedSegment, Pronouncer, RulePronouncer, WordSpan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from megatts3.checkpoint import Networks
    from megatts3.models.g2p_lm import G2PNetwork, Spelled
    from megatts3.text.language import Language

log = logging.getLogger(__name__)


def frontend_of(networks: Networks) -> TextFrontend:
    """The text front end that belongs to a checkpoint: its network where it has one, else dictionaries and rules."""
    return TextFrontend(None if networks.g2p is None else NetworkPronouncer(networks.g2p))


class NetworkPronouncer:
    """All segments of a text in one batch; what the network answered badly the dictionaries do again."""

    def __init__(self, network: G2PNetwork, rules: Pronouncer | None = None) -> None:
        self._network = network
        self._rules = rules or RulePronouncer()

    def pronounce_all(self, texts: Sequence[str], language: Language) -> list[PhonemizedSegment]:
        """Segments that the network could not read say so: `pronounced_by` is `dictionary`."""
        by_rules = self._rules.pronounce_all(texts, language)
        wanted = [i for i, segment in enumerate(by_rules) if segment.text.strip()]
        found = list(by_rules)
        for i, spelled in zip(wanted, self._network.spell([texts[i] for i in wanted]), strict=True):
            try:
                found[i] = _read(spelled, by_rules[i])
            except MalformedSpelling as error:
                log.warning("g2p_fallback reason=%s codes=%d", error, len(spelled.codes))
        return found


class MalformedSpelling(Exception):
    """The network's answer for one segment makes no sense; its text says why and quotes nothing."""


def _read(spelled: Spelled, by_rules: PhonemizedSegment) -> PhonemizedSegment:
    """Codes → phones and tones, checked."""
    if not spelled.ended:
        raise MalformedSpelling("no end code")
    try:
        phones, tones = decode_codes(spelled.codes)
    except UnknownPhone as error:
        raise MalformedSpelling("a code outside the tables") from error
    if by_rules.is_speakable and not any(is_speech(phone) for phone in phones):
        raise MalformedSpelling("no sound where the text has some")
    words = place_words(by_rules.words, by_rules.phones, phones)
    return replace(by_rules, phones=phones, tones=tones, words=words, unread=(), pronounced_by="network")


def place_words(words: Sequence[WordSpan], known: Sequence[int], phones: Sequence[int]) -> tuple[WordSpan, ...]:
    """Where words, whose places among the phones `known` are known, lie among other phones of the same text.

    The network names no words.  Phones that both readings share anchor them; a word takes what lies between its
    first and last anchor, and is left out where it has none.
    """
    place: dict[int, int] = {}
    for block in SequenceMatcher(a=list(known), b=list(phones), autojunk=False).get_matching_blocks():
        place.update({block.a + i: block.b + i for i in range(block.size)})
    placed = []
    for word in words:
        anchors = [place[i] for i in range(word.first_phone, word.last_phone + 1) if i in place]
        if anchors:
            placed.append(WordSpan(word.text, anchors[0], anchors[-1]))
    return tuple(placed)
