"""Answers as the OpenAPI document shows them.  Documentation only: the views make the JSON."""

import marshmallow as ma
from marshmallow import fields


class AnswerSchema(ma.Schema):
    """An answer may gain members without a new version: the document must not forbid them."""

    class Meta:
        unknown = ma.INCLUDE


class SpeechAnswerSchema(AnswerSchema):
    success = fields.Boolean(required=True)
    audio_base64 = fields.String(required=True)
    content_type = fields.String(required=True)
    format = fields.String(required=True)
    text = fields.String(required=True)
    voice_id = fields.String()
    parameters = fields.Dict(required=True)
    duration_s = fields.Float(required=True)
    sample_rate = fields.Integer(required=True)
    size_bytes = fields.Integer(required=True)
    rtf = fields.Float(required=True)
    cache = fields.String(required=True)
    job_id = fields.String(allow_none=True)
    warnings = fields.List(fields.String())


class PlannedSegmentSchema(AnswerSchema):
    index = fields.Integer(required=True)
    text = fields.String(required=True)
    phones = fields.List(fields.String(), required=True, metadata={"description": "Names: C0zh, E0ah, ，"})
    phone_ids = fields.List(fields.Integer(), required=True)
    tones = fields.List(
        fields.String(), required=True, metadata={"description": "One a phone: 1 to 6 as in pinyin, 0 for none"}
    )
    tone_ids = fields.List(fields.Integer(), required=True)
    predicted_s = fields.Float(required=True)


class PlanQueueSchema(AnswerSchema):
    jobs = fields.Integer(required=True)
    audio_s = fields.Float(required=True)
    estimated_wait_s = fields.Float(required=True, allow_none=True, metadata={"description": "null: not measured yet"})


class PlanSchema(AnswerSchema):
    voice_id = fields.String(required=True)
    seed = fields.Integer(required=True)
    normalized_text = fields.String(required=True)
    language = fields.String(required=True)
    segments = fields.List(fields.Nested(PlannedSegmentSchema), required=True)
    predicted_s = fields.Float(required=True, metadata={"description": "Of the joined audio"})
    queue = fields.Nested(PlanQueueSchema, required=True)


class JobProgressSchema(AnswerSchema):
    segments_done = fields.Integer()
    segments_total = fields.Integer()
    steps_done = fields.Integer()
    steps_total = fields.Integer()
    audio_s = fields.Float()
    items_total = fields.Integer(metadata={"description": "Of a job of items; as the next two"})
    items_done = fields.Integer()
    items_failed = fields.Integer()
    fraction = fields.Float()
    eta_s = fields.Float(allow_none=True)


class JobItemSchema(AnswerSchema):
    index = fields.Integer(required=True)
    status = fields.String(required=True, metadata={"description": "queued, running, done, failed, cancelled"})
    url = fields.String(required=True)
    audio_url = fields.String()
    timestamps_url = fields.String(allow_none=True)
    duration_s = fields.Float()
    rtf = fields.Float()
    cache = fields.String()
    error = fields.String()
    error_code = fields.String()


class JobAnswerSchema(AnswerSchema):
    id = fields.String(required=True)
    status = fields.String(required=True, metadata={"description": "queued, running, done, failed, cancelled"})
    created_at = fields.String(required=True)
    started_at = fields.String(allow_none=True)
    finished_at = fields.String(allow_none=True)
    deadline_at = fields.String(allow_none=True)
    priority = fields.String()
    voice_id = fields.String(allow_none=True)
    characters = fields.Integer()
    parameters = fields.Dict()
    progress = fields.Nested(JobProgressSchema)
    queue_position = fields.Integer(allow_none=True)
    metadata = fields.Dict()
    url = fields.String()
    items = fields.List(
        fields.Nested(JobItemSchema), metadata={"description": "Of a job of items, where one job is shown"}
    )
    audio_url = fields.String(allow_none=True)
    timestamps_url = fields.String(allow_none=True)
    predicted_s = fields.Float(allow_none=True)
    duration_s = fields.Float()
    rtf = fields.Float()
    error = fields.String()
    error_code = fields.String()


class JobDeletedSchema(AnswerSchema):
    id = fields.String(required=True)
    status = fields.String(required=True, metadata={"description": "As it was, or as it now is"})
    deleted = fields.Boolean(
        required=True, metadata={"description": "false: it ran and was cancelled; then the job is shown, too"}
    )
    files = fields.Integer(metadata={"description": "Erased with it"})


class TimedWordSchema(AnswerSchema):
    text = fields.String(required=True)
    start_s = fields.Float(required=True)
    end_s = fields.Float(required=True)


class TimedSegmentSchema(TimedWordSchema):
    index = fields.Integer(required=True)
    words = fields.List(fields.Nested(TimedWordSchema), required=True)


class JobTimesSchema(AnswerSchema):
    id = fields.String(required=True)
    duration_s = fields.Float(required=True)
    segments = fields.List(fields.Nested(TimedSegmentSchema), required=True)


class JobListSchema(AnswerSchema):
    jobs = fields.List(fields.Nested(JobAnswerSchema), required=True)
    next_cursor = fields.String(allow_none=True)


class ClipFindingSchema(AnswerSchema):
    code = fields.String(required=True)
    message = fields.String(required=True)


class ClipQualitySchema(AnswerSchema):
    """The check of a recording; a figure is null where there was nothing to measure it on."""

    ok = fields.Boolean(required=True)
    problems = fields.List(fields.Nested(ClipFindingSchema), required=True)
    fixes = fields.List(fields.Nested(ClipFindingSchema), required=True)
    duration_s = fields.Float()
    sample_rate = fields.Integer()
    peak = fields.Float()
    loudness_lufs = fields.Float(allow_none=True)
    speech_s = fields.Float()
    silence_share = fields.Float()
    noise_dbfs = fields.Float(allow_none=True)
    snr_db = fields.Float(allow_none=True)
    clipped_share = fields.Float()
    dc_offset = fields.Float()
    start_s = fields.Float(metadata={"description": "The stretch that is used begins here"})
    end_s = fields.Float()
    language_heard = fields.String(allow_none=True, metadata={"description": "zh or en, where it is clear"})


class VoiceStyleSchema(AnswerSchema):
    style = fields.String(required=True)
    status = fields.String(required=True)
    duration_s = fields.Float(allow_none=True)
    quality = fields.Nested(ClipQualitySchema)
    has_latent = fields.Boolean()
    version = fields.Integer()
    audio_url = fields.String()
    error = fields.String()
    error_code = fields.String()


class VoiceAnswerSchema(AnswerSchema):
    id = fields.String(required=True)
    name = fields.String(required=True)
    type = fields.String(required=True, metadata={"description": "builtin, custom, profile"})
    voice_id = fields.String(required=True)
    status = fields.String(required=True)
    description = fields.String()
    language = fields.String(allow_none=True)
    consent = fields.String(allow_none=True)
    style = fields.String()
    styles = fields.List(fields.Nested(VoiceStyleSchema), metadata={"description": "All recordings, the first first"})
    duration_s = fields.Float(allow_none=True)
    quality = fields.Nested(ClipQualitySchema)
    version = fields.Integer()
    has_latent = fields.Boolean()
    created_at = fields.String()
    updated_at = fields.String()
    url = fields.String()
    audio_url = fields.String(allow_none=True)
    error = fields.String()
    error_code = fields.String()


class VoiceCreatedSchema(VoiceAnswerSchema):
    success = fields.Boolean(required=True)
    message = fields.String(required=True)


class VoiceListSchema(AnswerSchema):
    voices = fields.List(fields.Nested(VoiceAnswerSchema), required=True)


class ErasedSchema(AnswerSchema):
    files = fields.Integer()
    cached_audio = fields.Integer()
    jobs = fields.Integer()
    jobs_cancelled = fields.Integer()
    styles = fields.List(fields.String())


class VoiceErasedSchema(AnswerSchema):
    success = fields.Boolean(required=True)
    voice_id = fields.String(required=True)
    message = fields.String()
    id = fields.String(required=True)
    erased = fields.Nested(ErasedSchema, required=True)
    erased_at = fields.String(required=True)


class MemorySchema(AnswerSchema):
    total = fields.String(required=True)
    used = fields.String(required=True)
    free = fields.String(required=True)


class HealthSchema(AnswerSchema):
    status = fields.String(required=True, metadata={"description": "healthy, unhealthy"})
    version = fields.String(required=True)
    model_loaded = fields.Boolean(required=True)
    gpu_available = fields.Boolean(required=True)
    memory_usage = fields.Nested(MemorySchema, required=True)
    encoder_available = fields.Boolean(required=True)
    pronunciation = fields.String(allow_none=True, metadata={"description": "network or dictionary"})
    workers = fields.Dict()
    queue_depth = fields.Integer(required=True)
    reason = fields.String()


class ModelAnswerSchema(AnswerSchema):
    id = fields.String(required=True)
    revision = fields.String(required=True)
    encoder_available = fields.Boolean(required=True, metadata={"description": "false: voices need their latent"})
    networks = fields.List(fields.String())
    languages = fields.List(fields.String())
    formats = fields.List(fields.String())
    sample_rate = fields.Integer()
    workers = fields.Integer()
    devices = fields.List(fields.String())
    precisions = fields.List(fields.String())


class ModelsSchema(AnswerSchema):
    models = fields.List(fields.Nested(ModelAnswerSchema), required=True)


class QueueSchema(AnswerSchema):
    jobs = fields.Integer(required=True)
    audio_s = fields.Float(required=True, metadata={"description": "Expected seconds of speech that wait"})
    interactive_audio_s = fields.Float(required=True)
    running_audio_s = fields.Float(required=True, metadata={"description": "Expected seconds of the jobs under way"})
    max_interactive_audio_s = fields.Float(required=True, metadata={"description": "Beyond this: 503 queue_full"})
    oldest_s = fields.Float(allow_none=True)


class WorkerCapacitySchema(AnswerSchema):
    name = fields.String(required=True)
    device = fields.String(required=True)
    precision = fields.String()
    rows = fields.Integer()
    free_rows = fields.Integer()
    active_jobs = fields.Integer()
    active_rows = fields.Integer(metadata={"description": "Segments its engine has, those that wait in it included"})
    rtf = fields.Float(allow_none=True)
    audio_s_per_s = fields.Float(allow_none=True)


class WaitsSchema(AnswerSchema):
    interactive = fields.Float(allow_none=True)
    batch = fields.Float(allow_none=True)


class CapacitySchema(AnswerSchema):
    ready_workers = fields.Integer(required=True)
    audio_s_per_s = fields.Float(
        required=True, allow_none=True, metadata={"description": "Measured, all workers; null before the first job"}
    )
    rows = fields.Integer(required=True, metadata={"description": "Segments computed at the same time"})
    free_rows = fields.Integer(required=True)
    running_jobs = fields.Integer(required=True)
    queue = fields.Nested(QueueSchema, required=True)
    estimated_wait_s = fields.Float(required=True, allow_none=True)
    wait_p95_s = fields.Nested(WaitsSchema, required=True)
    suggested_concurrency = fields.Integer(required=True, metadata={"description": "Requests worth having in flight"})
    workers = fields.List(fields.Nested(WorkerCapacitySchema), required=True)


class FactsSchema(AnswerSchema):
    name = fields.String()
    version = fields.String()
    ready = fields.Boolean()
    capabilities = fields.Dict()
    limits = fields.Dict()
