"""Segments that are prepared together come out as they do alone, a little at a time, and fail alone."""

from dataclasses import replace

import pytest
import torch

from megatts3.config import DurationLMConfig
from megatts3.engine.preparation import Order, Preparation
from megatts3.engine.scheduler import Ticket
from megatts3.engine.voice_states import VoiceStates
from megatts3.errors import MegaTTS3Error, RowFailed, UnknownPhone
from megatts3.models.duration_lm import Continuation, DurationLM, DurationPrompt, continue_durations
from megatts3.pipeline.conditioning import condition
from megatts3.pipeline.plan import plan
from megatts3.pipeline.voice import prepare_voice
from megatts3.sampling.params import SamplingParams
from tests.engine.prepared_rows import prepare

TEXTS = ("a.", "hello there, how are you.", "one two three.", "a much longer line than the others, it is.")


@pytest.fixture(scope="module")
def voices(tiny, voice, recording):
    return [voice, prepare_voice(tiny, recording(2.0, seed=4)), prepare_voice(tiny, recording(1.2, seed=5))]


def orders(frontend, voices, texts=TEXTS):
    found = []
    for n, text in enumerate(texts):
        (segment,) = frontend.segments(text)
        params = SamplingParams(steps=2, seed=n)
        found.append(Order(Ticket(f"r{n}", 0, 2, float(n)), segment, 0, 1, voices[n % len(voices)], params))
    return found


def run(preparation):
    found = {}
    while not preparation.is_done:
        found.update(preparation.advance())
    return found


@pytest.mark.parametrize("together", [1, 3])
def test_prepared_together_segments_are_what_they_are_alone(tiny, frontend, voices, together):
    asked = [(text, voices[n % 3], SamplingParams(steps=2, seed=n)) for n, text in enumerate(TEXTS)]
    for row, (text, voice, params) in zip(prepare(tiny, frontend, asked, together=together), asked, strict=True):
        (expected,) = plan(tiny, frontend, text, voice, params).segments
        given = condition(tiny.dit, voice, expected, params)
        assert row.payload.segment == expected
        torch.testing.assert_close(row.payload.given.states, given.states, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(row.payload.given.prompt_mask, given.prompt_mask, rtol=0, atol=0)


def test_preparing_goes_by_small_slices(tiny, frontend, voices):
    """At most one token, or one segment's conditioning, a call: what runs is never held up for long."""
    preparation = Preparation(tiny, VoiceStates(tiny, max_bytes=2**20), orders(frontend, voices), together=1)
    calls, most = 0, 0
    while not preparation.is_done:
        most = max(most, len(preparation.advance()))
        calls += 1

    assert most == 1
    assert calls >= max(len(text.replace(" ", "")) for text in TEXTS)


def test_what_cannot_be_prepared_fails_alone(tiny, frontend, voices):
    asked = orders(frontend, voices)
    foreign = replace(asked[1].segment, phones=(999,), tones=(3,))
    asked[1] = replace(asked[1], segment=foreign)
    asked[2] = replace(asked[2], voice=replace(asked[2].voice, phones=(999, *asked[2].voice.phones[1:])))
    found = run(Preparation(tiny, VoiceStates(tiny, max_bytes=2**20), asked, together=4))

    assert [isinstance(found[order], MegaTTS3Error) for order in asked] == [False, True, True, False]
    assert isinstance(found[asked[1]], UnknownPhone)


def test_a_batch_that_fails_is_tried_one_by_one(tiny, frontend, voices, monkeypatch):
    asked = orders(frontend, voices)

    def explode(self):
        raise FloatingPointError

    monkeypatch.setattr(Continuation, "step", explode)
    found = run(Preparation(tiny, VoiceStates(tiny, max_bytes=2**20), asked, together=4))

    assert not any(isinstance(prepared, RowFailed) for prepared in found.values())


def test_a_request_that_is_over_is_not_conditioned(tiny, frontend, voices):
    asked = orders(frontend, voices)
    preparation = Preparation(tiny, VoiceStates(tiny, max_bytes=2**20), asked, together=1)
    preparation.advance()
    preparation.forget("r1")

    assert {order.ticket.request_id for order in run(preparation)} == {"r0", "r2", "r3"}


# ---- the duration LM in a batch


@pytest.fixture(scope="module", params=["ar_mse", "ar"])
def lm(request):
    torch.manual_seed(0)
    sizes = {"dur_txt_hs": 16, "hidden_size": 16, "dur_model_hidden_size": 32, "dur_model_layers": 2,
             "decoder_heads": 2, "enc_layers": 1, "ffn_hidden_size": 16}  # fmt: skip
    return DurationLM(DurationLMConfig(dur_model_type=request.param, **sizes)).eval().requires_grad_(False)


def prompts(lm):
    draws = torch.Generator().manual_seed(1)
    phones = [torch.randint(3, 140, (1, n), generator=draws) for n in (9, 4, 6)]
    return [lm.prompt(p, torch.full_like(p, 3), torch.randint(2, 30, p.shape, generator=draws)) for p in phones]


def test_rows_of_a_continuation_get_the_tokens_they_get_alone(lm):
    known, draws = prompts(lm), torch.Generator().manual_seed(2)
    lengths = (5, 11, 8)
    phones = torch.zeros(3, 11, dtype=torch.long)
    for row, length in enumerate(lengths):
        phones[row, :length] = torch.randint(3, 140, (length,), generator=draws)
    work = Continuation(lm, DurationPrompt.stack(known), phones, 3 * phones.ne(0))
    while not work.is_done:
        work.step()

    for row, (length, prompt) in enumerate(zip(lengths, known, strict=True)):
        own = phones[row : row + 1, :length]
        alone = continue_durations(lm, prompt, own, torch.full_like(own, 3))[0].tolist()
        assert work.close_calls[row] or work.tokens[row, :length].tolist() == alone
        assert not work.tokens[row, length:].any()
    assert not all(work.close_calls)


def test_a_token_that_nearly_was_another_is_told(lm, monkeypatch):
    """Its row is asked alone, so that who shared the batch cannot be heard."""
    (prompt, *_) = prompts(lm)
    phones = torch.tensor([[5, 6, 7, 0], [5, 6, 7, 8]])
    near = iter([0.3, 0.5 + 1e-4, 0.3, 0.5 - 1e-4])  # the fourth is beyond the first row's end
    honest = lm.decode

    def decode(*arguments, **options):
        out, memory = honest(*arguments, **options)
        value = next(near)
        if lm.config.dur_model_type == "ar":
            out = torch.zeros_like(out)
            out[..., 7], out[..., 9] = 1.0, 0.5 + value
        else:
            out = torch.full_like(out, 12.0 + value)
        return out, memory

    monkeypatch.setattr(lm, "decode", decode)
    work = Continuation(lm, DurationPrompt.stack([prompt, prompt]), phones[:, :1], torch.full((2, 1), 3))
    work.step()
    assert work.close_calls == [False, False]
    near = iter([0.3, 0.3, 0.3, 0.5 - 1e-4])
    work = Continuation(lm, DurationPrompt.stack([prompt, prompt]), phones, 3 * phones.ne(0))
    while not work.is_done:
        work.step()
    assert work.close_calls == [False, True]


# ---- what depends on the voice alone


def test_a_voice_is_worked_out_once(tiny, voices, monkeypatch):
    kept = VoiceStates(tiny, max_bytes=2**20)
    first = kept.get(voices[0])
    twin = replace(voices[0], latent=voices[0].latent.copy())

    assert kept.get(twin) is first
    assert kept.get(voices[1]) is not first
    assert len(kept) == 2


def test_the_least_recently_used_voice_goes_when_the_bytes_are_too_many(tiny, voices):
    sizes = [VoiceStates(tiny, max_bytes=2**30).get(voice).size_bytes for voice in voices]
    kept = VoiceStates(tiny, max_bytes=sizes[0] + sizes[1])
    first = kept.get(voices[0])
    kept.get(voices[1])
    kept.get(voices[0])
    kept.get(voices[2])

    assert kept.get(voices[0]) is first
    assert kept.size_bytes <= sizes[0] + sizes[1]
    assert VoiceStates(tiny, max_bytes=0).get(voices[0]).size_bytes == sizes[0]
