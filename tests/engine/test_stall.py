"""How long the loop has been at one thing: what a watchdog looks at."""

import threading
import time

from megatts3.engine.engine import Engine


def until(holds, within_s=20.0):
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_loop_that_waits_for_work_is_not_stalled_and_one_that_hangs_is(tiny, frontend):
    now = [100.0]
    engine = Engine(tiny, frontend, clock=lambda: now[0])
    engine.start()
    go_on, entered = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        go_on.wait(20)

    calling = threading.Thread(target=engine._mailbox.call, args=(hang,))
    assert engine.stalled_s == 0.0
    calling.start()
    assert entered.wait(20)
    now[0] += 90.0
    assert engine.stalled_s == 90.0
    go_on.set()
    calling.join()
    until(lambda: engine.stalled_s == 0.0)
    engine.stop()


def test_several_calls_between_two_steps_are_each_progress(tiny, frontend):
    """Ten voices at once take ten times as long as one and are no hang."""
    now, seen = [0.0], []
    engine = Engine(tiny, frontend, clock=lambda: now[0])

    def work() -> None:
        now[0] += 60.0
        seen.append(engine.stalled_s)

    waiting = [threading.Thread(target=engine._mailbox.call, args=(work,)) for _ in range(3)]
    for thread in waiting:
        thread.start()
    until(lambda: len(engine._mailbox._calls) == 3)
    engine.start()
    for thread in waiting:
        thread.join()
    engine.stop()
    assert seen == [60.0, 60.0, 60.0]
