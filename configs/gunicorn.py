"""How gunicorn serves the API.  Every figure comes from the service's own settings.

gevent, because a sync answer is mostly waiting: a thousand long-polls cost one process little, where threads
run out and then answer nobody.  The monkey-patching happens in the worker processes alone, by gunicorn itself,
before the app is built there; `preload_app` stays off for that reason.
"""

import gc
import math

from contract.settings import load_settings

_settings = load_settings()

wsgi_app = "megatts3_server.wsgi:app"
bind = [f"{_settings.api.host}:{_settings.api.port}", *_settings.api.extra_binds]
workers = _settings.api.workers
worker_class = "megatts3_server.gunicorn_worker.ProblemWorker"  # gevent's, and errors as JSON
worker_connections = 2000
preload_app = False
timeout = 60  # seconds an event loop may stand still before its process is replaced; not a request's time
# Seconds open requests have on SIGTERM: an accepted one is answered, and a sync answer may take so long.  Long-polls
# are told (post_worker_init) and hold nobody up.  Below what the launcher allows; compose's stop_grace_period, too.
graceful_timeout = math.ceil(_settings.api.sync_wait_s) + 10  # gunicorn takes whole seconds only
keepalive = 5
backlog = 2048
limit_request_line = 8190
loglevel = _settings.logging.level.lower()
accesslog = None  # requests are told by our own log, without queries
errorlog = "-"
proc_name = "megatts3-api"
control_socket_disable = True


def post_worker_init(worker):  # noqa: ANN001, ANN201 - gunicorn's hook
    from megatts3_server import draining  # noqa: PLC0415 - only once gevent has patched this process

    draining.watch(worker, max_memory_bytes=_settings.api.max_memory_bytes)
    gc.collect()
    gc.freeze()  # what is there now stays: looking through it holds every request up for 20 ms each time
