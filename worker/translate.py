"""Between the contract and the library: a job into an engine request, an error into a code.

No other file knows both vocabularies' names for the same thing.
"""

from collections.abc import Callable

from contract.errors import ErrorCode, ErrorInfo, ServiceError
from contract.fingerprint import with_seed
from contract.schemas import Job, JobProgress, Priority, SpeechRequest
from megatts3 import errors as speech
from megatts3.api import Priority as EnginePriority
from megatts3.api import Progress, SamplingParams, SynthesisRequest, VoicePrompt

# The nearest listed ancestor of an error's class decides; a test walks the whole tree.
CODES: dict[type[speech.MegaTTS3Error], ErrorCode] = {
    speech.MegaTTS3Error: ErrorCode.INTERNAL,
    speech.InputError: ErrorCode.INVALID_VALUE,
    speech.TextTooLong: ErrorCode.TEXT_TOO_LONG,
    speech.AudioError: ErrorCode.AUDIO_UNREADABLE,
    speech.UnsupportedFormat: ErrorCode.UNSUPPORTED_FORMAT,
    speech.PromptTooShort: ErrorCode.AUDIO_TOO_SHORT,
    speech.LatentRequired: ErrorCode.LATENT_REQUIRED,
    speech.LatentInvalid: ErrorCode.LATENT_INVALID,
    speech.PromptSilent: ErrorCode.INVALID_VALUE,
    speech.SetupError: ErrorCode.INTERNAL,
    speech.RunError: ErrorCode.SYNTHESIS_FAILED,
    speech.Cancelled: ErrorCode.CANCELLED,
    speech.DeadlineExceeded: ErrorCode.DEADLINE_EXCEEDED,
    speech.EngineFull: ErrorCode.QUEUE_FULL,
    speech.EngineStopped: ErrorCode.WORKER_LOST,
}
PRIORITIES = {Priority.INTERACTIVE: EnginePriority.INTERACTIVE, Priority.BATCH: EnginePriority.BATCH}
UNEXPLAINED = "something went wrong on our side; the request id finds it in the log"
HIDDEN = frozenset({ErrorCode.INTERNAL})  # their text is for the log: it may name files and tensors


def to_error_info(error: BaseException) -> ErrorInfo:
    """What a job's or voice's record says of an error; one nobody named is `internal` and says nothing."""
    if isinstance(error, ServiceError):
        return ErrorInfo(error.code, error.detail or error.code.value)
    code = next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), ErrorCode.INTERNAL)
    return ErrorInfo(code, UNEXPLAINED if code in HIDDEN else str(error) or code.value)


def to_sampling_params(request: SpeechRequest, *, seed: int) -> SamplingParams:
    """The request's own parameters; upstream's p_w and t_w are text and speaker guidance."""
    return SamplingParams(
        steps=request.time_step,
        text_guidance=request.p_w,
        speaker_guidance=request.t_w,
        seed=seed,
        speed=request.speed,
        pitch=request.pitch,
        grid=request.grid,
    )


def to_synthesis_request(
    job: Job, voice: VoicePrompt, params: SamplingParams, *, to_engine_time: Callable[[float], float]
) -> SynthesisRequest:
    """A job as the engine takes it.  `to_engine_time` turns Unix seconds into the engine's clock."""
    return SynthesisRequest(
        request_id=job.id,
        text=job.request.text,
        voice=voice,
        params=params,
        deadline_s=None if job.deadline_at is None else to_engine_time(job.deadline_at),
        priority=PRIORITIES[job.priority],
        client=job.owner or "",
    )


def seed_of(job: Job, voice: VoicePrompt) -> int:
    """The one stamped on the job, else one derived from its content: equal requests sound equal."""
    seed = with_seed(job.request, voice=voice.fingerprint).seed
    assert seed is not None
    return seed


def to_job_progress(progress: Progress, *, audio_s: float) -> JobProgress:
    return JobProgress(
        segments_done=progress.segments_done,
        segments_total=progress.segments_total,
        steps_done=progress.steps_done,
        steps_total=progress.steps_total,
        audio_s=audio_s,
    )
