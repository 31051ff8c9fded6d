import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from megatts3.config import DurationLMConfig
from megatts3.models.duration_lm import DurationLM, DurationPrompt, continue_durations
from megatts3.models.layers.positions import rotary_angles, rotate_half_split

KINDS = ["duration_lm", "duration_lm_cls"]
CASES = [(kind, case) for kind in KINDS for case in (0, 1)]


@pytest.fixture(scope="module")
def networks(golden):
    found = {}
    for kind in KINDS:
        found[kind] = DurationLM(DurationLMConfig.from_dict(golden.json(f"{kind}/config")))
        golden.fill(found[kind], f"{kind}/weights", unused=("char_", "embed_positions."))
    return found


def prompt_of(network, case):
    return network.prompt(case["in.ph_ref"], case["in.tone_ref"], case["prompt.ctx_tokens"])


def unrotated(key):
    """A key as it was before its rotary position, 0 … n-1."""
    cos, sin = rotary_angles(torch.arange(key.shape[2]), key.shape[3])
    return rotate_half_split(key, cos, -sin)


def assert_layers(golden, seen, case, prefix):
    compared = 0
    for key, expected in case.items():
        stage, _, part = key.partition(".")
        if stage != prefix or not part.startswith("layer"):
            continue
        layer, _, inner = part.removeprefix("layer").partition(".")
        name = f"layers.{layer}.op" + {"": "", "attn": ".self_attn", "ffn": ".ffn"}[inner]
        steps = [out[0] if isinstance(out, tuple) else out for out in seen[name]]
        golden.assert_near(torch.cat(steps, dim=1), expected, what=key)
        compared += 1
    assert compared == 6


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_the_conditioning_of_prompt_and_segment_is_reproduced(golden, networks, kind, case):
    network, recorded = networks[kind], golden.tensors(f"{kind}/case_{case}")
    for prefix, side in (("prompt", "ref"), ("cont", "tgt")):
        with golden.outputs(network) as seen:
            text = network.encode_text(recorded[f"in.ph_{side}"], recorded[f"in.tone_{side}"])
        golden.assert_near(text, recorded[f"{prefix}.x_ling"])
        golden.assert_near(seen["encoder"][0], recorded[f"{prefix}.enc"])
        golden.assert_near(seen["ling_label_embed_layers.tone"][0], recorded[f"{prefix}.tone_emb"])


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_one_parallel_pass_over_the_prompt_leaves_the_recorded_state(golden, networks, kind, case):
    network, recorded = networks[kind], golden.tensors(f"{kind}/case_{case}")
    with golden.outputs(network) as seen:
        prompt = prompt_of(network, recorded)
    assert_layers(golden, seen, recorded, "prompt")
    for i, memory in enumerate(prompt.layers):
        golden.assert_near(unrotated(memory.key), recorded[f"prompt.k{i}"])
        golden.assert_near(memory.value, recorded[f"prompt.v{i}"])


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_the_teacher_forced_pass_is_reproduced(golden, networks, kind, case):
    network, recorded = networks[kind], golden.tensors(f"{kind}/case_{case}")
    tokens = recorded["prompt.ctx_tokens"]
    inputs = torch.cat((torch.full((1, 1), network.begin_token), tokens[:, :-1]), dim=1)
    out = network(inputs, network.encode_text(recorded["in.ph_ref"], recorded["in.tone_ref"]))
    golden.assert_near(out, recorded["prompt.parallel_out"])
    golden.assert_near(out, recorded["prompt.out"])


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_the_continuation_is_reproduced_with_its_layers_and_tokens(golden, networks, kind, case):
    network, recorded = networks[kind], golden.tensors(f"{kind}/case_{case}")
    prompt = prompt_of(network, recorded)
    with golden.outputs(network) as seen:
        tokens = continue_durations(network, prompt, recorded["in.ph_tgt"], recorded["in.tone_tgt"])
    assert torch.equal(tokens, recorded["cont.tokens"])
    assert_layers(golden, seen, recorded, "cont")
    golden.assert_near(torch.cat(seen["project_out_dim"], dim=1), recorded["cont.out"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", [(0, 1), (1, 0), (1, 0, 1)])
def test_a_row_gets_the_same_tokens_alone_and_beside_any_neighbours(golden, networks, kind, order):
    network = networks[kind]
    recorded = [golden.tensors(f"{kind}/case_{case}") for case in order]
    prompts = DurationPrompt.stack([prompt_of(network, case) for case in recorded])
    phones, tones = (
        pad_sequence([case[f"in.{part}_tgt"][0] for case in recorded], batch_first=True) for part in ("ph", "tone")
    )
    tokens = continue_durations(network, prompts, phones, tones)
    for found, case in zip(tokens, recorded, strict=True):
        expected = case["cont.tokens"][0]
        assert torch.equal(found[: len(expected)], expected)
        assert not found[len(expected) :].any()


@pytest.mark.parametrize("kind", KINDS)
def test_prompts_fed_together_leave_the_states_they_leave_alone(golden, networks, kind):
    network = networks[kind]
    recorded = [golden.tensors(f"{kind}/case_{case}") for case in (0, 1)]
    phones, tones, tokens = (
        pad_sequence([case[key][0] for case in recorded], batch_first=True)
        for key in ("in.ph_ref", "in.tone_ref", "prompt.ctx_tokens")
    )
    together = network.prompt(phones, tones, tokens)
    for row, case in enumerate(recorded):
        alone, length = prompt_of(network, case), case["in.ph_ref"].shape[1]
        assert together.lengths[row] == length
        assert together.last_token[row] == alone.last_token[0]
        for many, one in zip(together.layers, alone.layers, strict=True):
            golden.assert_near(many.key[row : row + 1, :, :length], one.key, limit=1e-5)
            golden.assert_near(many.value[row : row + 1, :, :length], one.value, limit=1e-5)


def test_a_segment_does_not_see_the_one_before_it(golden, networks):
    network, case = networks["duration_lm"], golden.tensors("duration_lm/case_0")
    prompt = prompt_of(network, case)
    first = continue_durations(network, prompt, case["in.ph_tgt"], case["in.tone_tgt"])
    continue_durations(network, prompt, case["in.ph_tgt"][:, :3], case["in.tone_tgt"][:, :3])
    again = continue_durations(network, prompt, case["in.ph_tgt"], case["in.tone_tgt"])
    assert torch.equal(first, again)


def test_tokens_are_rounded_to_even_and_kept_within_the_table(networks):
    network = networks["duration_lm"]
    out = torch.tensor([[[0.5]], [[1.5]], [[2.5]], [[0.0]], [[129.0]], [[400.0]]])
    assert network.choose(out, first=True).flatten().tolist() == [0, 2, 2, 0, 128, 128]
    assert network.choose(out, first=False).flatten().tolist() == [1, 2, 2, 1, 128, 128]


def test_gradients_reach_every_parameter_of_the_duration_lm(networks):
    network = networks["duration_lm"]
    phones = torch.tensor([[145, 30, 50, 148], [145, 60, 0, 0]])
    text = network.encode_text(phones, torch.full_like(phones, 3))
    out = network(torch.tensor([[129, 9, 12, 10], [129, 8, 0, 0]]), text, phones.ne(0))
    out[phones.ne(0)].square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in network.parameters())
