"""Files without records and records without files."""

import pytest

from contract import blob_keys
from contract.schemas import AudioFormat, JobStatus
from worker.janitor import Janitor

DAY_S = 86_400.0


@pytest.fixture
def janitor(stores, clock) -> Janitor:
    return Janitor(stores.jobs, stores.blobs, keep_s=DAY_S, every_s=3600.0, unix_s=clock)


def test_files_whose_job_is_not_known_go_and_those_of_jobs_and_voices_stay(janitor, stores, runtime, submit, clock):
    job = submit()
    runtime.synthesize(job.id)
    stray = blob_keys.job_audio("job_stray", AudioFormat.WAV)
    voiceless = blob_keys.voice_clip("nobody", "rec_1")
    for key in (stray, voiceless):
        stores.blobs.put(key, b"x")

    tidied = janitor.tidy()

    assert tidied.files == ("job_stray",)
    assert not stores.blobs.exists(stray)
    assert stores.blobs.exists(voiceless), "a recording cannot be made again"
    assert stores.blobs.exists(stores.jobs.get(job.id).result.audio_blob)


def test_a_young_folder_is_left_alone(stores, clock, settings, tmp_path):
    from dataclasses import replace

    from contract.stores.filesystem import open_blobs

    files = open_blobs(replace(settings.storage, jobs_dir=tmp_path))
    files.put(blob_keys.job_reference("job_young"), b"its record is about to be written")
    written_at = next(iter(files.folders("jobs"))).changed_at
    clock.now_s = written_at + DAY_S - 1
    janitor = Janitor(stores.jobs, files, keep_s=DAY_S, every_s=3600.0, unix_s=clock)
    assert janitor.tidy().files == ()
    clock.turn(2)
    assert janitor.tidy().files == ("job_young",)


def test_a_done_job_whose_audio_is_gone_is_forgotten(janitor, stores, runtime, submit):
    kept, gone = submit("Kept."), submit("Gone.")
    for job in (kept, gone):
        runtime.synthesize(job.id)
    stores.blobs.delete_tree(blob_keys.job_folder(gone.id))

    assert janitor.tidy().records == (gone.id,)

    assert stores.jobs.get(gone.id) is None
    assert stores.jobs.get(kept.id).status is JobStatus.DONE


def test_it_looks_once_in_its_time(janitor, stores, clock):
    stores.blobs.put(blob_keys.job_reference("job_stray"), b"x")
    assert janitor.look().files == ()
    clock.turn(3600)
    assert janitor.look().files == ("job_stray",)
    assert janitor.look().files == ()
