import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from megatts3.sampling.guidance import Branch, branch_weights, guide, needed_branches

BRANCHES = torch.randn(3, 2, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
weights = st.floats(0.0, 10.0)


def test_weights_of_one_give_the_full_branch():
    torch.testing.assert_close(guide(*BRANCHES, 1.0, 1.0), BRANCHES[Branch.FULL])


def test_text_guidance_alone_gives_the_text_branch_and_none_the_unconditional():
    torch.testing.assert_close(guide(*BRANCHES, 1.0, 0.0), BRANCHES[Branch.TEXT_ONLY])
    torch.testing.assert_close(guide(*BRANCHES, 0.0, 0.0), BRANCHES[Branch.UNCONDITIONAL])


@given(weights, weights)
def test_the_guided_velocity_is_the_weighted_sum_and_the_weights_add_up_to_one(text, speaker):
    found = branch_weights(text, speaker)
    assert sum(found.values()) == pytest.approx(1.0)
    total = sum(weight * BRANCHES[branch] for branch, weight in found.items())
    torch.testing.assert_close(guide(*BRANCHES, text, speaker), total)


@pytest.mark.parametrize(
    ("text", "speaker", "needed"),
    [
        (1.6, 2.5, (Branch.FULL, Branch.TEXT_ONLY, Branch.UNCONDITIONAL)),
        (2.0, 2.0, (Branch.FULL, Branch.UNCONDITIONAL)),
        (1.0, 1.0, (Branch.FULL,)),
        (1.0, 2.0, (Branch.FULL, Branch.TEXT_ONLY)),
        (0.0, 0.0, (Branch.UNCONDITIONAL,)),
    ],
)
def test_a_branch_without_weight_is_not_needed(text, speaker, needed):
    assert needed_branches(text, speaker) == needed


def test_each_row_may_have_its_own_weights():
    text, speaker = torch.tensor([1.6, 1.0]), torch.tensor([2.5, 3.0])
    together = guide(*BRANCHES, text[:, None, None].double(), speaker[:, None, None].double())
    for row in range(2):
        torch.testing.assert_close(together[row], guide(*BRANCHES[:, row], float(text[row]), float(speaker[row])))
