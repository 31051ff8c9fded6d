import copy

import pytest
import torch

from megatts3.config import DiTConfig
from megatts3.models.diffusion_transformer import DiffusionTransformer
from megatts3.models.layers.positions import phone_positions, time_features
from megatts3.sampling.guidance import guide
from megatts3.sampling.noise import RecordedNoise, RowNoise
from megatts3.sampling.solver import overshoot, sample_latent
from megatts3.sampling.time_grid import sway

CASES = ["dit/case_0", "dit/case_1"]


@pytest.fixture(scope="module")
def dit(golden):
    network = DiffusionTransformer(DiTConfig.from_dict(golden.json("dit/config")))
    golden.fill(network, "dit/weights")
    return network


@pytest.fixture(scope="module")
def awake():
    """A network of random weights: fresh ones answer zero to everything."""
    torch.manual_seed(1)
    network = DiffusionTransformer(
        DiTConfig(dim=32, n_layers=2, n_heads=2, local_cond_dim=16, ph_layers=2, ph_heads=2, ph_filter=48)
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.15)
    return network


def conditioning_of(network, case):
    text = network.encode_text(case["prep.phone"], case["prep.tone"], case["prep.dur"])
    return network.conditioning(text, network.local_condition(case["prep.lat_ctx"], case["prep.ctx_mask"]))


@pytest.mark.parametrize("name", CASES)
def test_every_recorded_intermediate_of_the_conditioning_is_reproduced(golden, dit, name):
    case = golden.tensors(name)
    with golden.outputs(dit) as seen:
        conditioning_of(dit, case)
    compared = [key for key in case if key.startswith("mid.") and key.removeprefix("mid.") in seen]
    assert len(compared) >= 7
    for key in compared:
        golden.assert_near(seen[key.removeprefix("mid.")][0], case[key], what=key)
    states = seen["ph_encoder"][0] * case["prep.phone"].ne(0)[..., None]
    golden.assert_near(states, case["mid.x_ling_phone"])
    if "mid.x_ling_expanded" in case:
        golden.assert_near(dit._expand(states, case["prep.dur"]), case["mid.x_ling_expanded"])


@pytest.mark.parametrize("name", CASES)
def test_every_recorded_intermediate_of_the_first_evaluation_is_reproduced(golden, dit, name):
    case = golden.tensors(name)
    x = case["steps.x_in"][0].expand(3, -1, -1)
    with golden.outputs(dit) as seen:
        dit.velocity(x, case["steps.t"][:1].expand(3), conditioning_of(dit, case), case["prep.ctx_mask"])
    compared = [key for key in case if key.startswith("step0.")]
    assert len(compared) >= 4
    for key in compared:
        found = seen[key.removeprefix("step0.")][0]
        golden.assert_near(found[: len(case[key])], case[key], what=key)


@pytest.mark.parametrize("name", CASES)
def test_a_whole_sampling_run_is_reproduced_step_by_step(golden, dit, name):
    case, settings = golden.tensors(name), golden.metadata(name)
    conditioning, steps = conditioning_of(dit, case), int(settings["steps"])
    calls = []

    def velocity(x, t):
        k = len(calls)
        golden.assert_near(x[None], case["steps.x_in"][k : k + 1], what=f"state {k}")
        tau = dit.f5_time_embed(time_features(torch.tensor([t])))
        golden.assert_near(tau, case["steps.time_embed"][k], what=f"time embedding {k}")
        three = dit.velocity(x.expand(3, -1, -1), torch.full((3,), t), conditioning, case["prep.ctx_mask"])
        golden.assert_near(three, case["steps.pred3"][k], what=f"branches {k}")
        guided = guide(*three, float(settings["p_w"]), float(settings["t_w"]))
        golden.assert_near(guided, case["steps.v_cfg"][k], what=f"guided {k}")
        calls.append(t)
        return guided

    noise = RecordedNoise(case["noise.init"][0], case["noise.steps"])
    latent = sample_latent(velocity, noise, sway(steps), overshoot)
    golden.assert_near(latent[None], case["out.latent"])
    assert len(calls) == steps


@pytest.mark.parametrize("name", CASES)
def test_the_recorded_noise_comes_from_its_seed_in_the_order_of_the_solver(golden, name):
    case = golden.tensors(name)
    noise = RowNoise.from_seed(int(golden.metadata(name)["torch_seed"]), case["noise.init"].shape[1])
    assert torch.equal(noise.initial(), case["noise.init"][0])
    for step, expected in enumerate(case["noise.steps"]):
        assert torch.equal(noise.at(step), expected)


def test_time_features_and_phone_positions_are_reproduced(golden):
    tables = golden.tensors("dit/sampler_tables")
    golden.assert_near(time_features(tables["time_features.t"]), tables["time_features.out"], limit=5e-4)
    expected = tables["phone_pos_features.64x20"]
    golden.assert_near(phone_positions(20, 64, torch.device("cpu")), expected)


def random_row(network, generator, phones, latents):
    """Inputs of one row: phones, tones, frame-to-phone, context, prompt mask, state, time."""
    frames = 4 * latents
    ends = torch.linspace(0, frames, phones + 1).round().int()
    frame_to_phone = torch.repeat_interleave(torch.arange(1, phones + 1), ends.diff())
    mask = (torch.arange(latents) < latents // 3).float()[:, None]
    return (
        torch.randn(latents, 32, generator=generator),
        torch.rand((), generator=generator),
        torch.randint(3, 174, (phones,), generator=generator),
        torch.randint(3, 16, (phones,), generator=generator),
        frame_to_phone,
        torch.randn(latents, 32, generator=generator) * mask,
        mask,
    )


def padded(rows):
    columns = list(zip(*rows, strict=True))
    batch = [
        torch.stack(column) if column[0].ndim == 0 else torch.nn.utils.rnn.pad_sequence(list(column), batch_first=True)
        for column in columns
    ]
    lengths = torch.tensor([len(row[0]) for row in rows])
    return batch, torch.arange(int(lengths.max())) < lengths[:, None]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1,), (1, 1, 2)])
def test_a_row_is_the_same_alone_and_beside_any_neighbours(golden, awake, order):
    generator = torch.Generator().manual_seed(3)
    rows = [random_row(awake, generator, *size) for size in ((5, 12), (9, 30), (14, 22))]
    chosen = [rows[i] for i in order]
    batch, key_mask = padded(chosen)
    together = awake(*batch, key_mask)
    for row, found in zip(chosen, together, strict=True):
        alone = awake(*(value[None] for value in row))[0]
        golden.assert_near(found[: len(alone)], alone, limit=1e-5)


def test_kept_modulations_give_the_same_velocity_as_times(golden, awake):
    generator = torch.Generator().manual_seed(4)
    batch, key_mask = padded([random_row(awake, generator, 6, 16), random_row(awake, generator, 4, 10)])
    x, t, phones, tones, frame_to_phone, context, mask = batch
    conditioning = awake.conditioning(
        awake.encode_text(phones, tones, frame_to_phone), awake.local_condition(context, mask)
    )
    kept = awake.modulations(torch.cat((t.flip(0), torch.tensor([0.5]))))
    direct = awake.velocity(x, t, conditioning, mask, key_mask)
    found = awake.velocity(x, kept.rows(torch.tensor([1, 0])), conditioning, mask, key_mask)
    golden.assert_near(found, direct, limit=1e-6)


def test_what_lies_in_the_prompt_span_of_the_state_does_not_matter(awake):
    generator = torch.Generator().manual_seed(5)
    x, *rest = (value[None] for value in random_row(awake, generator, 6, 18))
    changed = x.clone()
    changed[:, :6] += 100.0
    assert torch.equal(awake(x, *rest), awake(changed, *rest))


def test_inputs_are_left_as_they_were(awake):
    row = [value[None] for value in random_row(awake, torch.Generator().manual_seed(6), 6, 18)]
    before = [value.clone() for value in row]
    awake(*row)
    assert all(torch.equal(now, then) for now, then in zip(row, before, strict=True))


@pytest.mark.parametrize("half", [False, True])
def test_gradients_reach_every_parameter(awake, half):
    batch, key_mask = padded([random_row(awake, torch.Generator().manual_seed(7), 6, 18) for _ in range(2)])
    awake.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        velocity = awake(*batch, key_mask)
    velocity.float().square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in awake.parameters())


def test_weights_of_bfloat16_stay_near_float32(golden, awake):
    batch, key_mask = padded([random_row(awake, torch.Generator().manual_seed(8), 6, 18)])
    exact = awake(*batch, key_mask)
    network = copy.deepcopy(awake).bfloat16()
    assert golden.error(network(*batch, key_mask).float(), exact) < 0.05
    with torch.autocast("cpu", torch.bfloat16):
        assert golden.error(network(*batch, key_mask).float(), exact) < 0.05


def test_autocast_to_bfloat16_stays_near_float32(golden, awake):
    batch, key_mask = padded([random_row(awake, torch.Generator().manual_seed(8), 6, 18)])
    exact = awake(*batch, key_mask)
    with torch.autocast("cpu", torch.bfloat16):
        assert golden.error(awake(*batch, key_mask).float(), exact) < 0.03
