"""A real worker process with the coded engine: `celery -A scripts.chaos.worker_app worker …`.

CHAOS_PACE is "rows,step_s,steps"; CHAOS_SPOKEN a file for one line a computed segment.
"""

import os
from pathlib import Path

from contract.last_words import LastWords
from contract.settings import Settings, load_settings
from contract.stores.interfaces import Stores
from scripts.chaos.coded_engine import CodedEngine, Pace
from scripts.chaos.deadly_encoder import crash_where_it_says
from worker.celery_app import serve
from worker.devices import Compute
from worker.runtime import Runtime, Send


def load(settings: Settings, stores: Stores, *, name: str, send: Send) -> Runtime:
    """As worker.runtime.load_runtime, with no checkpoint to read."""
    rows, step_s, steps = os.environ["CHAOS_PACE"].split(",")
    engine = CodedEngine(
        Pace(int(rows), float(step_s), int(steps)),
        spoken_log=Path(os.environ["CHAOS_SPOKEN"]),
    )
    words = LastWords.open(settings.storage.temp_dir, name)
    compute = Compute("cpu", "fp32")
    return Runtime(settings, stores, engine, name=name, compute=compute, send=send, last_words=words)


crash_where_it_says(Path(os.environ["CHAOS_SPOKEN"]))
app = serve(load_settings(), load=load)
