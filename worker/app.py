"""The worker process's entry point: `celery -A worker.app worker --pool threads …` imports this module.

Like megatts3_server/wsgi.py it is where a process begins, hence the one place of the worker that reads the
settings when imported.  The model is loaded on `worker_init`, before the first message is taken.
"""

from contract.settings import load_settings
from worker.celery_app import serve

app = serve(load_settings())
