"""Audio that an equal request left in the cache while this one waited, with the times of its words."""

from contract.schemas import Job
from contract.stores.interfaces import Stores
from worker.keeping import Sound
from worker.speech_engine import SpeechEngine
from worker.spoken_times import times_of_plan
from worker.translate import seed_of, to_sampling_params
from worker.voices import VoicePrompts


def cached_sound(
    job: Job, fingerprint: str | None, *, stores: Stores, engine: SpeechEngine, prompts: VoicePrompts
) -> tuple[Sound, bytes] | None:
    """The sound and its times; job: with the request in question, its own or one item's.

    Planned once more for the times, which gives the same as when it was spoken, at a fraction of the work.
    """
    if fingerprint is None or not job.request.cache:
        return None
    found = stores.audio_cache.get(fingerprint)
    if found is None:
        return None
    voice = prompts.of_job(job)
    plan = engine.plan(job.request.text, voice, to_sampling_params(job.request, seed=seed_of(job, voice)))
    return Sound.of_bytes(found.data, found.duration_s, found.sample_rate), times_of_plan(plan)
