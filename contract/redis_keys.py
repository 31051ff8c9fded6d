"""Every Redis key of the product: spelling, type, writer, reader, lifetime.

| key (below `<prefix>:<schema>:`) | type | writer | reader | lifetime |
|---|---|---|---|---|
| `job:{job_id}` | hash | API, then worker | both | `jobs.keep_s` after the end, see `jobs:ended` |
| `job:{job_id}:chunks` | stream | worker | API | `jobs.chunks_keep_s` after the last write or read |
| `job:{job_id}:listeners` | string | API | worker | `jobs.chunks_keep_s`; somebody wants chunks |
| `job:{job_id}:items` | hash | worker (Lua) | both | as long as the job |
| `job:{job_id}:followers` | zset | both (Lua) | both | until its last member ends or leads |
| `job:{job_id}:sharers` | set | both (Lua) | both | until the last of its jobs is erased |
| `jobs:all` | zset | both (Lua) | API | none; ids of erased jobs pruned |
| `jobs:status:{status}` | zset | both (Lua) | both | none; as above |
| `jobs:queue:{priority}` | zset | both (Lua) | both | none; a job leaves when claimed |
| `jobs:unclaimed` | zset | both (Lua) | worker | none; a job leaves when claimed |
| `jobs:leases` | zset | worker (Lua) | worker | none; a job leaves at its end |
| `jobs:ended` | zset | both (Lua) | worker | none; a job leaves when erased |
| `jobs:load` | hash | both (Lua) | API | none; exact sums in milliseconds |
| `jobs:leaders` | hash | both (Lua) | both | an entry until its work ends |
| `jobs:tokens` | string | worker (Lua) | worker | none; counter of fencing tokens |
| `inflight:{fingerprint}` | string | API, worker | API | until the job ends |
| `idempotency:{owner}:{key_hash}` | hash | API | API | `jobs.idempotency_keep_s` |
| `events` | pub/sub | both (Lua) | API | not stored |
| `voice:{voice_id}` | hash | API, then worker | both | none |
| `voices` | zset | API | both | none |
| `voices:versions` | hash | API | both | none; counts replaced recordings |
| `voices:preparing` | hash | worker (Lua) | worker | none; an entry leaves when its preparation ended |
| `audio:{fingerprint}` | string | worker | API | `cache.ttl_s` |
| `audio:{fingerprint}:about` | hash | worker | API, you | `cache.ttl_s` |
| `audio:index:used` | zset | both (Lua) | both | none; pruned with the entries |
| `audio:index:expiry` | zset | both (Lua) | both | none; pruned with the entries |
| `audio:index:sizes` | hash | both (Lua) | both | none; pruned with the entries |
| `audio:voice:{voice_id}` | set | both (Lua) | both | none; pruned with the entries |
| `audio:stats` | hash | both (Lua) | API, you | none |
| `plan:{plan_id}` | hash | API, then worker | both | the sync wait and a minute, from the answer on a minute |
| `canary` | hash | monitor | API, you | three canary intervals |
| `canary:turn` | string | monitor | monitor | one canary interval |
| `segment:{key}` | hash | worker (Lua) | worker, you | until unused for `cache.segment_ttl_s`, or too many |
| `segment:{key}:jobs` | hash | worker (Lua) | worker | until no job wants it |
| `segments:queue:{priority}` | zset | worker (Lua) | worker | none; a segment leaves when claimed |
| `segments:suspects` | zset | worker (Lua) | worker | none; a segment leaves when claimed |
| `segments:leases` | zset | worker (Lua) | worker | none; a segment leaves at its end |
| `segments:used` | zset | worker (Lua) | worker | none; pruned with the segments |
| `segments:stats` | hash | worker (Lua) | worker, you | none |
| `segments:tokens` | string | worker (Lua) | worker | none; counter of fencing tokens |
| `segments:wanting` | set | worker (Lua) | worker | none; a job leaves at its end |
| `segments:of:{job_id}` | set | worker (Lua) | worker | until the job ends |
| `segments:voice:{voice_id}` | set | worker (Lua) | both | none; pruned with the segments |
| `webhooks:due` | zset | both (Lua) | worker | none; a webhook leaves when sent or given up |
| `webhooks:attempts` | hash | worker (Lua) | worker | none; as above |
| `rate:{key or address}` | hash | API (Lua) | API | until the bucket is full again |
| `worker:{name}` | hash | worker | API | `jobs.worker_ttl_s`, heartbeat |
| `workers` | zset | worker | API | none; pruned when read |
| `workers:awaited` | hash | launcher | API | two minutes; a worker that is being replaced |

Celery's own keys live in another database number, see queues.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

_PREFIX = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class RedisKeys:
    """Every key of the product.  SCHEMA rises when a key changes its meaning."""

    prefix: str = "megatts3"
    SCHEMA: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise ValueError(f"prefix {self.prefix!r} is not made of letters, digits, dot, dash, underscore")

    @property
    def root(self) -> str:
        return f"{self.prefix}:{self.SCHEMA}:"

    def job(self, job_id: str) -> str:
        """Hash.  Created by the API, moved on by the worker; kept `jobs.keep_s` after the end."""
        return f"{self.root}job:{job_id}"

    def job_chunks(self, job_id: str) -> str:
        """Stream of encoded audio, in order.  Worker writes, API reads."""
        return f"{self.job(job_id)}:chunks"

    def job_listeners(self, job_id: str) -> str:
        """String: somebody wants this job's audio as it comes, so the worker writes chunks."""
        return f"{self.job(job_id)}:listeners"

    def job_items(self, job_id: str) -> str:
        """Hash: how each item of a job stands, as JSON, by its index; one that is not there waits."""
        return f"{self.job(job_id)}:items"

    def job_followers(self, job_id: str) -> str:
        """Sorted set: live jobs that get what the work of this name gives, by the time they joined."""
        return f"{self.job(job_id)}:followers"

    def job_sharers(self, job_id: str) -> str:
        """Set: jobs with records whose files are those of this work; not there for a job of its own."""
        return f"{self.job(job_id)}:sharers"

    def jobs_all(self) -> str:
        """Sorted set: job id by creation time in seconds."""
        return f"{self.root}jobs:all"

    def jobs_with_status(self, status: str) -> str:
        """Sorted set: job id by creation time in seconds, one per status."""
        return f"{self.root}jobs:status:{status}"

    def job_queue(self, priority: str) -> str:
        """Sorted set: queued job id by the time it was queued."""
        return f"{self.root}jobs:queue:{priority}"

    def jobs_unclaimed(self) -> str:
        """Sorted set: queued job id by the time its message was last sent."""
        return f"{self.root}jobs:unclaimed"

    def job_leases(self) -> str:
        """Sorted set: running job id by the end of its lease."""
        return f"{self.root}jobs:leases"

    def jobs_ended(self) -> str:
        """Sorted set: ended job id by the time it may be erased."""
        return f"{self.root}jobs:ended"

    def job_load(self) -> str:
        """Hash: `queued_interactive_ms`, `queued_batch_ms`, `running_ms` of expected audio."""
        return f"{self.root}jobs:load"

    def job_leaders(self) -> str:
        """Hash: a piece of work to the job that leads it, where that is not the one it is named after."""
        return f"{self.root}jobs:leaders"

    def job_tokens(self) -> str:
        """String: the last fencing token given; only rises."""
        return f"{self.root}jobs:tokens"

    def inflight(self, fingerprint: str = "") -> str:
        """String: the live job that computes this fingerprint; gone when it ends."""
        return f"{self.root}inflight:{fingerprint}"

    def idempotency(self, owner: str, key_hash: str) -> str:
        """Hash `job_id`, `body`: the first job submitted under this key."""
        return f"{self.root}idempotency:{owner}:{key_hash}"

    def events(self) -> str:
        """Pub/sub channel: one JSON object per change of a job or voice."""
        return f"{self.root}events"

    def voice(self, voice_id: str) -> str:
        """Hash.  Created by the API, made ready by the worker; no expiry."""
        return f"{self.root}voice:{voice_id}"

    def voices(self) -> str:
        """Sorted set: voice id by creation time."""
        return f"{self.root}voices"

    def voice_versions(self) -> str:
        """Hash: voice id to the number of recordings it has had, deleted ones included."""
        return f"{self.root}voices:versions"

    def voices_preparing(self) -> str:
        """Hash: `<voice id> <worker> <process id>` that prepares it to the voice's version."""
        return f"{self.root}voices:preparing"

    def audio(self, fingerprint: str) -> str:
        """String: the cached audio, compressed or not (see `about`)."""
        return f"{self.root}audio:{fingerprint}"

    def audio_about(self, fingerprint: str) -> str:
        """Hash: voice, format, seconds, bytes, created, hits of the audio beside it."""
        return f"{self.audio(fingerprint)}:about"

    def audio_used(self) -> str:
        """Sorted set: fingerprint by the order of last use (a counter, not a time)."""
        return f"{self.root}audio:index:used"

    def audio_expiry(self) -> str:
        """Sorted set: fingerprint by the second it expires."""
        return f"{self.root}audio:index:expiry"

    def audio_sizes(self) -> str:
        """Hash: fingerprint to bytes held."""
        return f"{self.root}audio:index:sizes"

    def audio_of_voice(self, voice_id: str) -> str:
        """Set: fingerprints made with a voice, so that deleting the voice erases them."""
        return f"{self.root}audio:voice:{voice_id}"

    def audio_stats(self) -> str:
        """Hash: hits, misses, evictions, expired, bytes, uses."""
        return f"{self.root}audio:stats"

    def plan(self, plan_id: str) -> str:
        """Hash: a text to be planned and its answer, for the one request that asks; expires by itself."""
        return f"{self.root}plan:{plan_id}"

    def canary(self) -> str:
        """Hash: what the last canary sentence sounded like; gone when nobody speaks one any more."""
        return f"{self.root}canary"

    def canary_turn(self) -> str:
        """String: set while the present interval's sentence was taken by somebody."""
        return f"{self.root}canary:turn"

    def segment(self, key: str) -> str:
        """Hash.  One piece of a text: work to be claimed, then where its audio lies."""
        return f"{self.root}segment:{key}"

    def segment_jobs(self, key: str) -> str:
        """Hash: job that wants the segment to its place in that job's manuscript."""
        return f"{self.segment(key)}:jobs"

    def segment_queue(self, priority: str) -> str:
        """Sorted set: segment that waits by the second its sound is wanted."""
        return f"{self.root}segments:queue:{priority}"

    def segment_suspects(self) -> str:
        """Sorted set: segment that waits and that a worker was lost with, by the second its sound is wanted."""
        return f"{self.root}segments:suspects"

    def segment_leases(self) -> str:
        """Sorted set: segment that is rendered by the end of its lease."""
        return f"{self.root}segments:leases"

    def segments_used(self) -> str:
        """Sorted set: finished segment by the order of last use (a counter, not a time)."""
        return f"{self.root}segments:used"

    def segment_stats(self) -> str:
        """Hash: bytes kept, rendered so far, uses."""
        return f"{self.root}segments:stats"

    def segment_tokens(self) -> str:
        """String: the last fencing token given for a segment; only rises."""
        return f"{self.root}segments:tokens"

    def segments_wanting(self) -> str:
        """Set: jobs that want segments."""
        return f"{self.root}segments:wanting"

    def segments_of(self, job_id: str) -> str:
        """Set: the segments a job wants."""
        return f"{self.root}segments:of:{job_id}"

    def segments_of_voice(self, voice_id: str) -> str:
        """Set: finished segments made with a voice, so that deleting the voice erases them."""
        return f"{self.root}segments:voice:{voice_id}"

    def webhooks_due(self) -> str:
        """Sorted set: ended job whose webhook is to be sent, by the next attempt or the end of its lease."""
        return f"{self.root}webhooks:due"

    def webhook_attempts(self) -> str:
        """Hash: job to the attempts made so far, which is the token of the last."""
        return f"{self.root}webhooks:attempts"

    def rate(self) -> str:
        """Prefix of the rate limiter's buckets: hashes `tokens`, `at`."""
        return f"{self.root}rate:"

    def worker(self, name: str) -> str:
        """Hash: a worker's last heartbeat; expires with it."""
        return f"{self.root}worker:{name}"

    def workers(self) -> str:
        """Sorted set: worker name by its last heartbeat."""
        return f"{self.root}workers"

    def awaited_worker(self) -> str:
        """Hash: the last heartbeat of a worker that is being replaced, from when it was ready; expires."""
        return f"{self.root}workers:awaited"
