"""What a killed process was joining: found in its file, and judged by the store of jobs, in memory and in Redis."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from contract.errors import ErrorCode
from contract.last_words import SLOTS, JoinedLast, LastWords, path_of, taken_last_words
from contract.schemas import JobProgress, JobStatus
from contract.stores.burial import bury

WAITS = JobProgress(2, 5)  # segments of it are rendered; none of its own doing is told of
SAYS = """
import os, signal, sys
from pathlib import Path
from contract.last_words import JoinedLast, LastWords
words = LastWords.open(Path(sys.argv[1]), "worker0@here")
with words.about(JoinedLast("job_over", 7, False)):
    pass
with words.about(JoinedLast("job_a", 3, False)), words.about(JoinedLast("job_" + "b" * 60, 123456, True)):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_was_joining_is_found_once(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", SAYS, str(tmp_path / "new")])
    assert process.wait(30) == -signal.SIGKILL
    path = path_of(tmp_path / "new", "worker0@here", process.pid)

    assert set(taken_last_words(path)) == {JoinedLast("job_a", 3, False), JoinedLast("job_" + "b" * 60, 123456, True)}
    assert taken_last_words(path) == ()


def test_many_threads_say_each_its_own(tmp_path):
    words, path = LastWords.open(tmp_path, "w"), path_of(tmp_path, "w", os.getpid())
    said = [JoinedLast(f"job_{n}", n, n % 2 == 0) for n in range(SLOTS)]
    all_in, may_go = threading.Barrier(SLOTS + 1), threading.Event()

    def say(what: JoinedLast) -> None:
        for _ in range(20):
            with words.about(JoinedLast("another", 1, False)):
                pass
        with words.about(what):
            all_in.wait(10)
            may_go.wait(10)

    threads = [threading.Thread(target=say, args=(each,)) for each in said]
    for thread in threads:
        thread.start()
    all_in.wait(10)
    assert sorted(taken_last_words(path), key=lambda each: each.place) == said
    may_go.set()
    for thread in threads:
        thread.join(10)


def test_who_ends_in_good_order_leaves_no_file(tmp_path):
    words = LastWords.open(tmp_path, "w")
    with words.about(JoinedLast("job_a", 0, False)):
        assert list(tmp_path.iterdir())
    words.close()
    assert list(tmp_path.iterdir()) == []


def test_what_nobody_took_goes_when_the_next_of_that_name_begins(tmp_path):
    gone = subprocess.Popen(["true"])
    gone.wait(10)
    left, other = path_of(tmp_path, "w", gone.pid), path_of(tmp_path, "w2", gone.pid)
    alive = path_of(tmp_path, "w", os.getppid())
    for path in (left, other, alive):
        path.write_bytes(b"job_a 1 0")
    LastWords.open(tmp_path, "w")
    assert (left.exists(), other.exists(), alive.exists()) == (False, True, True)


def test_without_room_for_its_file_a_process_works_and_says_nothing():
    words = LastWords.open(Path("/proc/none"), "w")
    with words.about(JoinedLast("job_a", 0, False)):
        pass
    words.close()


# ---- and what the store of jobs makes of them


@pytest.fixture
def lose(stores):
    """A worker is lost with the job while it was joining, or not."""

    def lose(job, *joining: JoinedLast):
        held = stores.jobs.claim(job.id, worker="w", lease_s=30)
        assert held is not None
        stores.jobs.heartbeat(job.work_id, held.token, lease_s=30, progress=WAITS)
        assert bury(stores, "w", os.getpid(), joining=joining) == 1
        return stores.jobs.requeue(job.work_id)

    return lose


def test_the_second_loss_at_the_same_place_alone_convicts(stores, new_job, lose):
    job = stores.jobs.create(new_job()).job
    suspect = lose(job, JoinedLast(job.id, 3, alone=False))
    assert (suspect.status, suspect.attempts, suspect.lost_at) == (JobStatus.QUEUED, 1, 3)
    assert stores.jobs.claim(job.id, worker="w", lease_s=30, suspects=False) is None

    failed = lose(job, JoinedLast(job.id, 3, alone=True))
    assert (failed.status, failed.error.code) == (JobStatus.FAILED, ErrorCode.WORKER_LOST)


def test_who_only_waited_while_another_was_joined_is_not_blamed(stores, new_job, lose):
    job = stores.jobs.create(new_job()).job
    for _ in range(3):
        spared = lose(job, JoinedLast("another", 3, alone=False))
        assert (spared.attempts, spared.lost_at) == (0, None)


def test_beside_others_nobody_is_convicted_however_often(stores, new_job, lose):
    """Its own words do not tell it from what was rendered there at that moment."""
    job = stores.jobs.create(new_job()).job
    for place in (3, 3, 2, 7):
        suspect = lose(job, JoinedLast(job.id, place, alone=False))
        assert (suspect.status, suspect.attempts, suspect.lost_at) == (JobStatus.QUEUED, 1, place)


def test_a_loss_is_judged_by_what_was_said_then_and_not_before(stores, new_job, lose):
    job = stores.jobs.create(new_job()).job
    lose(job, JoinedLast(job.id, 3, alone=False))
    again = lose(job)
    assert (again.status, again.attempts, again.lost_at) == (JobStatus.QUEUED, 1, 3), "it waited"


def test_who_takes_a_work_over_takes_its_suspicion_along(stores, new_job, lose):
    first, heir = (stores.jobs.create(new_job(fingerprint="f")).job for _ in range(2))
    lose(first, JoinedLast(first.id, 3, alone=False))
    held = stores.jobs.claim(first.id, worker="w", lease_s=30)
    stores.jobs.heartbeat(first.id, held.token, lease_s=30, progress=WAITS)
    bury(stores, "w", os.getpid(), joining=[JoinedLast(first.id, 3, alone=True)])
    stores.jobs.request_cancel(first.id)

    assert stores.jobs.get(heir.id).lost_at == 3
    assert stores.jobs.requeue(first.id).id == heir.id
    assert stores.jobs.get(heir.id).status is JobStatus.FAILED
