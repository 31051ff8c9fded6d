"""A suspect runs alone, in its turn, and a job delivered twice is taken up once."""

import threading

import pytest
from patience import eventually

from worker.company import Company
from worker.deliveries import Deliveries


class Guest:
    """A thread that comes in, says so, and stays until it is let go."""

    def __init__(self, enter) -> None:
        self.is_in, self.may_go = threading.Event(), threading.Event()
        self._enter = enter
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        with self._enter():
            self.is_in.set()
            assert self.may_go.wait(20)

    def leave(self) -> None:
        self.may_go.set()
        self.thread.join(10)


def waiting(company: Company) -> int:
    return len(company._waiting)


def test_who_is_alone_has_nobody_beside_it():
    company = Company()
    first, second = Guest(company.beside), Guest(company.beside)
    assert first.is_in.wait(10)
    assert second.is_in.wait(10)
    suspect = Guest(company.alone)
    eventually(lambda: waiting(company) == 1)
    first.leave()
    assert not suspect.is_in.is_set(), "one is still there"
    second.leave()
    assert suspect.is_in.wait(10)

    late = Guest(company.beside)
    eventually(lambda: waiting(company) == 1)
    assert not late.is_in.is_set()
    suspect.leave()
    assert late.is_in.wait(10)
    late.leave()


@pytest.mark.parametrize(("turn_s", "order"), [(10, "0 3 124"), (0, "0 124 3")])
def test_suspects_go_in_one_after_another_until_it_is_the_turn_of_the_rest(turn_s, order):
    """They wait for the way out of everybody else once a turn."""
    company, went_in = Company(turn_s=turn_s, clock=lambda: 0.0), []
    with company.beside():
        guests = []
        for n, enter in enumerate([company.alone, company.beside, company.beside, company.alone, company.beside]):

            def run(n: int = n, enter=enter) -> None:
                with enter():
                    went_in.append(str(n))

            guests.append(threading.Thread(target=run, daemon=True))
            guests[-1].start()
            eventually(lambda n=n: waiting(company) == n + 1)
    for guest in guests:
        guest.join(10)
    for together in order.split():
        assert {went_in.pop(0) for _ in together} == set(together)


def test_an_error_inside_lets_the_next_one_in():
    company = Company()
    with pytest.raises(ZeroDivisionError), company.alone():
        1 / 0  # noqa: B018 - any error will do
    with company.alone():
        pass


def test_a_second_delivery_of_what_is_at_work_is_told():
    deliveries = Deliveries()
    with deliveries.of("a") as first, deliveries.of("a") as second, deliveries.of("b") as other:
        assert (first, second, other, deliveries.count) == (True, False, True, 2)
    with deliveries.of("a") as again:
        assert again
