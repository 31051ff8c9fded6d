"""Audio from a store without files, and a storage without room."""

import pytest

from contract.errors import ErrorCode, ServiceError


def finished(service) -> str:
    job = service.client.post("/api/v1/jobs", json={"text": "kept"}).json
    while job["status"] not in {"done", "failed"}:
        job = service.client.get(f"{job['url']}?wait=5").json
    return str(job["audio_url"])


def test_ranges_of_a_blob_are_streamed_from_where_they_begin(service, monkeypatch):
    """The in-memory store has no files, as S3 has none."""
    url = finished(service)
    whole = service.client.get(url)
    begins = []
    stream = service.stores.blobs.stream
    monkeypatch.setattr(
        service.stores.blobs, "stream", lambda key, start=0: (begins.append(start), stream(key, start=start))[1]
    )

    part = service.client.get(url, headers={"Range": "bytes=100-199"})
    tail = service.client.get(url, headers={"Range": "bytes=-10"})
    beyond = service.client.get(url, headers={"Range": "bytes=99999999-"})
    same = service.client.get(url, headers={"If-None-Match": whole.headers["ETag"]})

    assert (whole.status_code, int(whole.headers["Content-Length"])) == (200, len(whole.data))
    assert (part.status_code, part.data) == (206, whole.data[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(whole.data)}"
    assert tail.data == whole.data[-10:]
    assert (beyond.status_code, same.status_code) == (416, 304)
    assert begins == [100, len(whole.data) - 10]


class Disk:
    """Whether there is room."""

    is_full = False

    def require_room(self) -> None:
        if self.is_full:
            raise ServiceError(ErrorCode.STORAGE_FULL)


@pytest.fixture
def disk(service):
    found = Disk()
    service.stores.blobs.require_room = found.require_room
    return found


def test_without_room_new_work_is_507_and_leaves_no_trace_and_old_work_can_be_fetched(service, disk):
    url = finished(service)
    disk.is_full = True

    spoken = service.client.post("/api/v1/tts/synthesize", json={"text": "new"})
    submitted = service.client.post("/api/v1/jobs", json={"text": "new, too"})

    assert [answer.status_code for answer in (spoken, submitted)] == [507, 507]
    assert spoken.json["error_code"] == "storage_full"
    assert service.client.get(url).status_code == 200
    assert service.client.post("/api/v1/tts/synthesize", json={"text": "kept"}).status_code == 200, "in the cache"
    assert len(service.client.get("/api/v1/jobs").json["jobs"]) == 1

    disk.is_full = False
    assert service.client.post("/api/v1/tts/synthesize", json={"text": "new"}).status_code == 200
