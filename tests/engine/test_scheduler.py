"""The rules of the queues, over arbitrary arrivals."""

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatts3.engine.scheduler import Row, Scheduler, Ticket
from megatts3.engine.step_cost import StepCost


@dataclass(frozen=True)
class Arrival:
    """A segment that comes at a step of the loop; `dropped_at` is when its request is cancelled."""

    at: int
    steps: int
    latent_frames: int
    patience: float
    dropped_at: int | None


@st.composite
def arrivals(draw):
    found = draw(
        st.lists(
            st.builds(
                Arrival,
                at=st.integers(0, 30),
                steps=st.integers(1, 12),
                latent_frames=st.integers(1, 300),
                patience=st.floats(0, 20),
                dropped_at=st.none() | st.integers(0, 40),
            ),
            min_size=1,
            max_size=14,
        )
    )
    return {f"r{i}": arrival for i, arrival in enumerate(found)}


def run(scheduler, incoming, *, limit=2_000):
    """Drive the scheduler as the engine does; returns what ran at each turn, and who finished when."""
    ran, finished = [], {}
    for turn in range(limit):
        for request_id, arrival in incoming.items():
            if arrival.at == turn:
                scheduler.add(Ticket(request_id, 0, arrival.steps, urgent_at_s=turn + arrival.patience))
            if arrival.dropped_at == turn:
                scheduler.drop(request_id)
        for ticket in scheduler.next_to_prepare():
            scheduler.ready(Row(ticket, incoming[ticket.request_id].latent_frames, payload=None))
        batch = scheduler.next_batch()
        ran.append([row.ticket.request_id for row in batch.rows])
        finished.update({row.ticket.request_id: turn for row in scheduler.advance(batch)})
        if scheduler.is_idle and turn > 45:
            return ran, finished
    raise AssertionError("somebody starved")


@given(arrivals(), st.integers(1, 5))
def test_there_are_never_more_rows_than_allowed(incoming, max_rows):
    ran, _ = run(Scheduler(max_rows=max_rows), incoming)

    assert max(len(turn) for turn in ran) <= max_rows


@given(arrivals(), st.integers(1, 5), st.integers(50, 700))
def test_padding_included_the_batch_stays_within_its_frames(incoming, max_rows, max_latent_frames):
    ran, _ = run(Scheduler(max_rows=max_rows, max_latent_frames=max_latent_frames), incoming)

    for turn in ran:
        lengths = [incoming[request_id].latent_frames for request_id in turn]
        assert len(lengths) <= 1 or len(lengths) * max(lengths) <= max_latent_frames


@given(arrivals(), st.integers(1, 5))
def test_every_segment_gets_exactly_its_steps_and_only_then_is_finished(incoming, max_rows):
    ran, finished = run(Scheduler(max_rows=max_rows), incoming)

    steps = Counter(request_id for turn in ran for request_id in turn)
    for request_id in finished:
        assert steps[request_id] == incoming[request_id].steps
    never_dropped = {request_id for request_id, arrival in incoming.items() if arrival.dropped_at is None}
    assert never_dropped <= set(finished)


@given(arrivals(), st.integers(1, 5))
def test_a_cancelled_row_leaves_at_once(incoming, max_rows):
    ran, _ = run(Scheduler(max_rows=max_rows), incoming)

    for request_id, arrival in incoming.items():
        if arrival.dropped_at is not None and arrival.dropped_at >= arrival.at:
            assert all(request_id not in turn for turn in ran[arrival.dropped_at :])


@given(st.floats(0, 50), st.integers(1, 4), st.integers(1, 8))
def test_nobody_starves_under_a_stream_of_more_urgent_arrivals(patience, max_rows, steps):
    """A new arrival every turn, each wanted at once: the patient one still gets its turn."""
    scheduler = Scheduler(max_rows=max_rows)
    scheduler.add(Ticket("patient", 0, steps, urgent_at_s=patience))
    for turn in range(int(patience + 2) * steps + 200):
        scheduler.add(Ticket(f"urgent{turn}", 0, steps, urgent_at_s=float(turn)))
        for ticket in scheduler.next_to_prepare(1_000):
            scheduler.ready(Row(ticket, 10, payload=None))
        if any(row.ticket.request_id == "patient" for row in scheduler.advance(scheduler.next_batch())):
            return
    raise AssertionError("the patient one starved")


def test_the_more_urgent_segment_goes_first():
    scheduler = Scheduler(max_rows=1)
    for request_id, urgent_at_s in [("late", 9.0), ("early", 1.0), ("middle", 5.0)]:
        scheduler.add(Ticket(request_id, 0, 1, urgent_at_s))
    order = []
    while not scheduler.is_idle:
        for ticket in scheduler.next_to_prepare():
            scheduler.ready(Row(ticket, 1, payload=None))
        order += [row.ticket.request_id for row in scheduler.advance(scheduler.next_batch())]

    assert order == ["early", "middle", "late"]


def prepare_all(scheduler, latent_frames=10):
    while tickets := scheduler.next_to_prepare(1_000):
        for ticket in tickets:
            scheduler.ready(Row(ticket, latent_frames, payload=None))


def names(batch):
    return [row.ticket.request_id for row in batch.rows]


def test_an_urgent_segment_is_prepared_even_while_patient_rows_wait():
    scheduler = Scheduler(max_rows=1, max_active=3)
    for index in range(4):
        scheduler.add(Ticket("book", index, 5, urgent_at_s=100.0 + index))
    prepare_all(scheduler)
    assert (scheduler.prepared, scheduler.next_to_prepare()) == (3, ())
    scheduler.add(Ticket("sentence", 0, 5, urgent_at_s=3.0))

    assert [ticket.request_id for ticket in scheduler.next_to_prepare(9)] == ["sentence"]


def test_first_segments_are_prepared_without_those_that_are_heard_later():
    scheduler = Scheduler(max_rows=4)
    for name, wanted_s in (("a", 1.0), ("b", 1.5)):
        for index in range(3):
            scheduler.add(Ticket(name, index, 5, urgent_at_s=wanted_s + index))

    groups = [[(t.request_id, t.index) for t in scheduler.next_to_prepare(8)] for _ in range(2)]

    assert groups == [[("a", 0), ("b", 0)], [("a", 1), ("b", 1), ("a", 2), ("b", 2)]]


def test_a_place_falls_free_when_the_first_of_its_rows_is_through():
    scheduler = Scheduler(max_rows=2)
    for name, steps in (("short", 4), ("long", 9)):
        scheduler.add(Ticket(name, 0, steps, urgent_at_s=0.0))
    assert scheduler.steps_to_a_place == 0
    prepare_all(scheduler)

    scheduler.advance(scheduler.next_batch())
    assert scheduler.steps_to_a_place == 3
    for _ in range(3):
        scheduler.advance(scheduler.next_batch())
    assert scheduler.steps_to_a_place == 0  # one of two is empty


@given(
    max_rows=st.integers(1, 4),
    books=st.integers(1, 12),
    started=st.integers(0, 20),
    urgent_at_s=st.floats(0, 1e6),
    steps=st.integers(1, 9),
)
def test_a_book_delays_a_line_of_conversation_by_at_most_one_step(max_rows, books, started, urgent_at_s, steps):
    """However old the book's segments are, however many, at whatever step they are."""
    scheduler = Scheduler(max_rows=max_rows)
    for index in range(books):
        scheduler.add(Ticket("book", index, 50, urgent_at_s=0.0, is_batch=True))
    prepare_all(scheduler)
    for _ in range(started):
        scheduler.advance(scheduler.next_batch())
    scheduler.add(Ticket("line", 0, steps, urgent_at_s=urgent_at_s))
    prepare_all(scheduler)
    turns = 0
    while not any(row.ticket.request_id == "line" for row in scheduler.advance(scheduler.next_batch())):
        turns += 1
        assert turns < 200

    skipped = turns + 1 - steps
    assert skipped <= (-(-steps // 3) if max_rows == 1 else 0)  # alone in a step: one of four is the book's
    if steps <= 3:
        assert skipped <= 1


@given(max_rows=st.integers(1, 4), steps=st.integers(1, 20))
def test_a_book_goes_on_while_conversation_never_ends(max_rows, steps):
    scheduler = Scheduler(max_rows=max_rows)
    scheduler.add(Ticket("book", 0, steps, urgent_at_s=0.0, is_batch=True))
    for turn in range(4 * steps + 8):
        scheduler.add(Ticket(f"line{turn}", 0, 5, urgent_at_s=float(turn)))
        prepare_all(scheduler)
        if any(row.ticket.request_id == "book" for row in scheduler.advance(scheduler.next_batch())):
            return
    raise AssertionError("the book starved")


def test_batch_rows_use_what_conversation_leaves():
    scheduler = Scheduler(max_rows=3)
    scheduler.add(Ticket("line", 0, 5, urgent_at_s=9.0))
    for index in range(4):
        scheduler.add(Ticket("book", index, 5, urgent_at_s=float(index), is_batch=True))
    for _ in range(3):
        prepare_all(scheduler)

    assert names(scheduler.next_batch()) == ["line", "book", "book"]


def test_a_paused_row_goes_on_where_it_was():
    scheduler = Scheduler(max_rows=1)
    scheduler.add(Ticket("patient", 0, 3, urgent_at_s=5.0))
    prepare_all(scheduler)
    (patient,) = scheduler.next_batch().rows
    scheduler.advance(scheduler.next_batch())
    scheduler.add(Ticket("urgent", 0, 1, urgent_at_s=1.0))
    prepare_all(scheduler)

    assert names(scheduler.next_batch()) == ["urgent"]
    assert scheduler.active == 1
    scheduler.advance(scheduler.next_batch())
    assert (names(scheduler.next_batch()), patient.steps_done) == (["patient"], 1)


def test_rows_of_like_length_share_a_step_where_shorter_ones_are_padded():
    scheduler = Scheduler(max_rows=4, cost=StepCost(pads=True, max_padding=0.05))
    lengths = {"a": 300, "b": 100, "c": 290, "d": 102, "e": 310}
    for place, name in enumerate(lengths):
        scheduler.add(Ticket(name, 0, 1, urgent_at_s=float(place)))
    for ticket in scheduler.next_to_prepare(9):
        scheduler.ready(Row(ticket, lengths[ticket.request_id], payload=None))
    first = scheduler.next_batch()
    scheduler.advance(first)

    assert names(first) == ["a", "c", "e"]
    assert names(scheduler.next_batch()) == ["b", "d"]


def test_a_segment_that_was_dropped_while_it_was_prepared_does_not_come_back():
    scheduler = Scheduler(max_rows=1)
    scheduler.add(Ticket("a", 0, 1, 0.0))
    (ticket,) = scheduler.next_to_prepare()
    scheduler.drop("a")
    scheduler.ready(Row(ticket, 1, payload=None))

    assert scheduler.is_idle


def test_what_is_being_prepared_counts_as_work():
    scheduler = Scheduler(max_rows=1)
    scheduler.add(Ticket("a", 0, 1, 0.0))
    scheduler.next_to_prepare()

    assert not scheduler.is_idle
    assert scheduler.queued == 1


def test_requests_past_their_deadline_are_named():
    scheduler = Scheduler(max_rows=1)
    scheduler.add(Ticket("a", 0, 5, 0.0, deadline_s=10.0))
    scheduler.add(Ticket("b", 0, 5, 0.0, deadline_s=20.0))
    scheduler.add(Ticket("c", 0, 5, 0.0))

    assert scheduler.late(9.9) == {}
    assert scheduler.late(10.5) == {"a": 0.5}
    assert scheduler.late(1e9).keys() == {"a", "b"}
    scheduler.drop("a")
    assert scheduler.late(10.5) == {}


@pytest.mark.parametrize("max_rows", [0, -1])
def test_a_scheduler_without_places_is_refused(max_rows):
    with pytest.raises(ValueError, match="max_rows"):
        Scheduler(max_rows=max_rows)
