"""What scripts/bench_service.py runs in processes of their own: a worker whose engine does nothing, and a bare task.

celery -A scripts.bench_service_parts:ours worker …     the product's worker around the tests' engine
celery -A scripts.bench_service_parts:bare worker …     one task that returns, with Celery's own result backend
gunicorn … scripts.bench_service_parts:api()            the product's API, and one file beside it
"""

import os
import sys
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import worker_init, worker_shutdown

from contract.queues import QueueName, TaskName, broker_url, make_celery, send
from contract.settings import load_settings
from contract.stores.opening import open_stores

ROOT = Path(__file__).resolve().parent.parent
FILES = "MEGATTS3_BENCH_FILES"  # the folder of the static route, handed over by the benchmark
ADDRESS = "/bench/<name>"
SPEECH = "speech:"  # see bench_service.py
RECORDED = ROOT / "checkpoints" / "mini" / "voices" / "voice_001.flac"

settings = load_settings()
ours = make_celery(settings)
bare = Celery("bare", broker=broker_url(settings.redis.url), backend=broker_url(settings.redis.url))
bare.conf.update(task_default_queue="bare", worker_prefetch_multiplier=1, result_expires=60)


@bare.task(name="bare.nothing")
def nothing(word: str) -> str:
    """What Celery itself costs."""
    return word


def load(sender: Any, **_: Any) -> None:  # Any: Celery's worker, untyped
    """Build the runtime as worker/app.py does, around an engine that speaks at once."""
    if sender.app is not ours:
        return
    sys.path.insert(0, str(ROOT / "tests" / "worker"))
    import fake_engine  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    from megatts3.audio.formats import decode  # noqa: PLC0415
    from megatts3.audio.waveform import Waveform  # noqa: PLC0415
    from worker import tasks  # noqa: PLC0415
    from worker.devices import Compute  # noqa: PLC0415
    from worker.runtime import Runtime, set_runtime  # noqa: PLC0415

    def send_message(task: TaskName, identifier: str, queue: QueueName, request_id: str | None) -> None:
        send(ours, task, identifier, queue=queue, request_id=request_id)

    recorded = decode(RECORDED.read_bytes()).samples
    noise = (0.1 * np.random.default_rng(0).standard_normal(len(recorded))).astype(np.float32)

    def speech(text: str, *_: object) -> Waveform:
        """Sound that lies ready: what is measured is what lies around an engine."""
        length = round(len(text) * fake_engine.SECONDS_A_CHARACTER * fake_engine.SAMPLE_RATE)
        return Waveform((recorded if text.startswith(SPEECH) else noise)[:length], fake_engine.SAMPLE_RATE)

    fake_engine.speech = speech
    tasks.register(ours)
    engine = fake_engine.FakeEngine()
    engine.start()
    built = Runtime(
        settings,
        open_stores(settings),
        engine,
        name=str(sender.hostname),
        compute=Compute("cpu", "fp32"),
        send=send_message,
    )
    set_runtime(built)
    built.start()
    built.presence.is_ready(engine.capabilities, engine.revision)
    built.housekeeping.beat()


def stop(sender: Any = None, **_: Any) -> None:  # Any: Celery's worker, untyped
    from worker.runtime import runtime  # noqa: PLC0415

    if sender.app is ours:
        runtime().stop()


worker_init.connect(load)
worker_shutdown.connect(stop)


def api() -> Any:  # Any: a WSGI application
    """The API with one more address, a file as Flask sends it: what the same server costs at least."""
    import flask  # noqa: PLC0415

    from megatts3_server.app import create_app  # noqa: PLC0415

    app = create_app(settings)
    folder = Path(os.environ[FILES])
    app.add_url_rule(ADDRESS, "bench_file", lambda name: flask.send_file(folder / name, mimetype="audio/wav"))
    return app
