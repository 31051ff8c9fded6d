"""Nobody who asks for much delays those who ask for little."""

from hypothesis import given
from hypothesis import strategies as st

from megatts3.engine.fair_share import FairShare


def test_segments_are_wanted_one_after_another():
    assert FairShare().wanted("ann", "a", 10.0, [2.0, 3.0, 1.0]) == [10.0, 12.0, 15.0]


def test_a_clients_second_request_queues_behind_its_first():
    shares = FairShare()
    shares.wanted("ann", "a", 10.0, [2.0, 3.0])

    assert shares.wanted("ann", "b", 11.0, [1.0]) == [15.0]
    assert shares.wanted("bob", "c", 11.0, [1.0]) == [11.0]


def test_requests_of_nobody_in_particular_do_not_queue_behind_one_another():
    shares = FairShare()
    shares.wanted("", "a", 10.0, [50.0])

    assert shares.wanted("", "b", 10.0, [1.0]) == [10.0]


def test_who_has_nothing_waiting_starts_afresh():
    shares = FairShare()
    shares.wanted("ann", "a", 10.0, [500.0])
    shares.wanted("ann", "b", 10.0, [500.0])
    shares.over("ann", "a")
    assert shares.wanted("ann", "c", 12.0, [1.0]) == [1010.0]
    for request in "bc":
        shares.over("ann", request)

    assert shares.wanted("ann", "d", 12.0, [1.0]) == [12.0]
    shares.over("nobody", "x")


@given(st.integers(1, 30), st.integers(1, 10))
def test_whatever_one_client_sends_the_others_first_lines_are_wanted_before_its_second(many, others):
    shares = FairShare()
    greedy = [shares.wanted("greedy", f"g{n}", 0.0, [4.0])[0] for n in range(many)]
    modest = [shares.wanted(f"m{n}", f"m{n}", 1.0, [4.0])[0] for n in range(others)]

    assert all(wanted < second for wanted in modest for second in greedy[1:])
