"""What the checkpoint's own aligner hears in a clip, taken as it comes: a judge may not refuse what must be counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from megatts3.audio.resample import resample
from megatts3.audio.waveform import Waveform
from megatts3.checkpoint import Networks
from megatts3.errors import UnknownPhone
from megatts3.evaluation.edit_distance import match
from megatts3.models.aligner import greedy_tokens
from megatts3.models.layers.log_mel import prompt_mel
from megatts3.pipeline.voice import pad_prompt
from megatts3.rates import ALIGNER_SAMPLE_RATE
from megatts3.text.phones import decode_codes, is_chinese_phone, is_speech


@dataclass(frozen=True)
class PhoneErrors:
    """wrong of total phones that are speech; tones_right of tones_total Chinese phones that were right."""

    wrong: int
    total: int
    tones_right: int
    tones_total: int


@torch.inference_mode()
def heard_phones(networks: Networks, waveform: Waveform) -> list[tuple[int, int]]:
    """Phones with tones, pauses included; what is no phone is left out."""
    padded = resample(pad_prompt(waveform), ALIGNER_SAMPLE_RATE)
    samples = torch.tensor(padded.samples, dtype=torch.float32, device=networks.device)
    mel = prompt_mel(samples, networks.aligner.config.n_mels)
    found = []
    for code in greedy_tokens(networks.aligner, mel[None])[0][1::2]:
        try:
            (phone,), (tone,) = decode_codes([code])
        except UnknownPhone:
            continue
        found.append((phone, tone))
    return found


def phone_errors(wanted: Sequence[tuple[int, int]], found: Sequence[tuple[int, int]]) -> PhoneErrors:
    """Compare (phone, tone) sequences; pauses count for nothing."""
    asked = [pair for pair in wanted if is_speech(pair[0])]
    heard = [pair for pair in found if is_speech(pair[0])]
    matching = match([phone for phone, _ in asked], [phone for phone, _ in heard])
    tones = [asked[i][1] == heard[j][1] for i, j in matching.pairs if is_chinese_phone(asked[i][0])]
    return PhoneErrors(matching.errors, len(asked), sum(tones), len(tones))
