import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from megatts3.config import AlignerConfig
from megatts3.models.aligner import END_TOKEN, Aligner, greedy_tokens
from megatts3.models.layers.log_mel import log_mel, mel_filters, prompt_mel

CASES = ["aligner/case_0", "aligner/case_1"]


@pytest.fixture(scope="module")
def aligner(golden):
    network = Aligner(AlignerConfig.from_dict(golden.json("aligner/config")))
    golden.fill(network, "aligner/weights")
    return network


def test_the_log_mel_features_are_reproduced(golden):
    recorded = golden.tensors("aligner/mel_frontend")
    golden.assert_near(mel_filters(), recorded["mel_filters"])
    golden.assert_near(log_mel(recorded["wav16k"]), recorded["log_mel"])
    golden.assert_near(log_mel(recorded["wav16k_from_24k"]), recorded["log_mel_from_24k"])


def test_the_floor_of_the_log_mel_is_each_clips_own(golden):
    loud = golden.tensors("aligner/mel_frontend")["wav16k"]
    together = log_mel(torch.stack((loud, loud * 1e-3)))
    golden.assert_near(together[0], log_mel(loud), limit=1e-6)
    golden.assert_near(together[1], log_mel(loud * 1e-3), limit=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_a_prompt_has_a_multiple_of_eight_frames(golden, name):
    case = golden.tensors(name)
    mel = prompt_mel(case["in.wav16k"])
    assert mel.shape[1] % 8 == 0
    golden.assert_near(mel[None], case["in.mel"])


@pytest.mark.parametrize("name", CASES)
def test_encoder_and_teacher_forced_decoder_are_reproduced(golden, aligner, name):
    case = golden.tensors(name)
    with golden.outputs(aligner) as seen:
        logits = aligner(case["in.mel"], case["out.tokens"][:, :-1])
    golden.assert_near(seen["encoder"][0], case["out.audio_features"])
    golden.assert_near(logits[0], case["out.step_logits"])
    for key in (key for key in case if key.startswith("mid.")):
        found = seen[key.removeprefix("mid.")][0]
        golden.assert_near(found[0] if isinstance(found, tuple) else found, case[key], what=key)


@pytest.mark.parametrize("name", CASES)
def test_the_greedy_tokens_are_reproduced_one_step_at_a_time(golden, aligner, name):
    case = golden.tensors(name)
    with golden.outputs(aligner) as seen:
        tokens = greedy_tokens(aligner, case["in.mel"], max_new_tokens=len(case["out.step_logits"]))
    assert tokens == [tuple(case["out.tokens"][0].tolist())]
    golden.assert_near(torch.cat(seen["decoder.out_proj"], dim=1)[0], case["out.step_logits"])


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (1, 0, 1)])
def test_a_clip_gets_the_same_tokens_alone_and_beside_any_neighbours(golden, aligner, order):
    cases = [golden.tensors(CASES[i]) for i in order]
    mels = [case["in.mel"][0].T for case in cases]
    mel = pad_sequence(mels, batch_first=True).transpose(1, 2)
    key_mask = torch.arange(mel.shape[2] // 2) < torch.tensor([len(m) // 2 for m in mels])[:, None]
    features = aligner.encoder(mel, key_mask)
    tokens = greedy_tokens(aligner, mel, key_mask, max_new_tokens=28)
    for case, found, audio in zip(cases, tokens, features, strict=True):
        expected = case["out.audio_features"][0]
        golden.assert_near(audio[: len(expected)], expected, limit=1e-5)
        recorded = tuple(case["out.tokens"][0].tolist())
        assert found[: len(recorded)] == recorded


def test_a_clip_that_ends_early_does_not_end_its_neighbour(golden, aligner):
    case = golden.tensors("aligner/case_0")
    logits = aligner(case["in.mel"], case["out.tokens"])
    bias = aligner.decoder.out_proj.bias
    before = bias.clone()
    try:
        bias[END_TOKEN] += (logits.max(-1).values - logits[..., END_TOKEN]).min() + 1e-3
        both = torch.cat((case["in.mel"], torch.zeros_like(case["in.mel"])))
        alone = [greedy_tokens(aligner, mel[None], max_new_tokens=12)[0] for mel in both]
        assert greedy_tokens(aligner, both, max_new_tokens=12) == alone
    finally:
        bias.copy_(before)


def test_gradients_reach_every_parameter_of_the_aligner(golden, aligner):
    case = golden.tensors("aligner/case_0")
    key_mask = torch.ones(1, case["in.mel"].shape[2] // 2, dtype=torch.bool)
    aligner(case["in.mel"], case["out.tokens"], key_mask).square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in aligner.parameters())
