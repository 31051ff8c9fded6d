"""The short form of `make chaos`: every kind of fault that recovers within seconds, once."""

import pytest

from scripts.chaos.__main__ import Plan, run
from scripts.chaos.report import as_markdown
from scripts.chaos.stage import Cast

pytestmark = [pytest.mark.redis, pytest.mark.timeout(600)]

SOON = {"JOBS_LEASE_S": "3", "JOBS_HEARTBEAT_S": "0.5", "JOBS_SWEEP_S": "0.5", "JOBS_WORKER_TTL_S": "4"}
KINDS = (
    "kill_worker",
    "kill_api_process",
    "kill_redis",
    "freeze_worker",
    "term_worker",
    "fill_disk",
    "crash_voice",
    "crash_encoder",
)


def test_nothing_is_lost_doubled_or_swapped(tmp_path):
    plan = Plan(
        seed=7,
        seconds=14.0,
        faults=len(KINDS),
        clients=8,
        freeze_s=4.0,
        kinds=KINDS,
        cast=Cast(workers=2, pace="4,0.01,8", settings=SOON),
    )

    report = run(plan, tmp_path)

    assert report.is_good, as_markdown(report)
    assert report.accepted >= 20
    assert report.done >= 10
