"""An API process that is to stop: who looks on is answered at once, who waits for speech still gets it."""

import time
from concurrent.futures import ThreadPoolExecutor

from api_service import until, waiting_for_jobs

from megatts3_server import draining


class Server:
    """As much of gunicorn's worker as is looked at."""

    def __init__(self, app) -> None:
        self.alive, self.wsgi = True, app


def test_a_long_poll_is_answered_and_a_sync_request_is_spoken_to_its_end(service):
    service.worker.hold = True
    job = service.client.post("/api/v1/jobs", json={"text": "looked at"}).json
    server = Server(service.app)
    watching = draining.watch(server)

    def poll():
        began = time.monotonic()
        answer = service.app.test_client().get(f"{job['url']}?wait=9")
        return answer.status_code, answer.json["status"], time.monotonic() - began

    def speak():
        return service.app.test_client().post("/api/v1/tts/synthesize", json={"text": "spoken"}).status_code

    with ThreadPoolExecutor(2) as pool:
        polled, spoken = pool.submit(poll), pool.submit(speak)
        until(lambda: waiting_for_jobs(service) == 2)
        server.alive = False
        status, state, waited_s = polled.result(20)
        assert (status, state) == (200, "queued")
        assert waited_s < 8
        assert not spoken.done()
        service.worker.let_go.set()
        assert spoken.result(20) == 200
    watching.join(5)
    assert not watching.is_alive()


def test_a_process_that_holds_too_much_memory_is_to_stop_and_another_is_left_alone(service):
    held = [999]
    server = Server(service.app)
    watching = draining.watch(server, max_memory_bytes=1000, resident=lambda: held[0])
    unlimited = Server(service.app)
    other = draining.watch(unlimited, resident=lambda: held[0])
    time.sleep(2 * draining.LOOK_S)
    assert server.alive
    held[0] = 1001
    until(lambda: not server.alive)
    watching.join(5)
    assert not watching.is_alive()
    assert unlimited.alive
    unlimited.alive = False
    other.join(5)
