"""What people read: one short sentence per error code and per field problem, in English and Chinese.

No user text is ever put in; placeholders are limits, names of fields and ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum, unique

from contract.errors import ErrorCode, FieldError, FieldProblem, ServiceError


@unique
class Language(StrEnum):
    EN = "en"
    ZH = "zh"


_Sentences = tuple[str, str]  # English, Chinese

CODES: Mapping[ErrorCode, _Sentences] = {
    ErrorCode.TEXT_TOO_LONG: (
        "The text has {length} characters; the limit is {limit}.",
        "文本有 {length} 个字符,上限为 {limit}。",
    ),
    ErrorCode.INVALID_VALUE: ("A value cannot be used.", "参数值无效。"),
    ErrorCode.MALFORMED_REQUEST: ("The request cannot be understood.", "无法解析请求。"),
    ErrorCode.CONFLICTING_FIELDS: (
        "Two fields mean the same thing and differ.",
        "两个同义字段的值不一致。",
    ),
    ErrorCode.UNAUTHORIZED: ("A valid API key is needed.", "需要有效的 API 密钥。"),
    ErrorCode.FORBIDDEN: ("This is not allowed.", "没有权限。"),
    ErrorCode.NOT_FOUND: ("There is nothing here.", "未找到该资源。"),
    ErrorCode.VOICE_NOT_FOUND: ("There is no such voice.", "声音不存在。"),
    ErrorCode.VOICE_NOT_READY: ("The voice is still being prepared.", "声音仍在准备中。"),
    ErrorCode.JOB_NOT_FOUND: ("There is no such job.", "任务不存在。"),
    ErrorCode.CONFLICT: ("This conflicts with what is there.", "与现有内容冲突。"),
    ErrorCode.VOICE_EXISTS: (
        "A voice with this id exists; send replace=true to replace it.",
        "该声音 ID 已存在;如需覆盖请传 replace=true。",
    ),
    ErrorCode.STYLE_NOT_FOUND: ("The voice has no such style.", "该声音没有此风格。"),
    ErrorCode.UPLOAD_TOO_LARGE: ("The upload is too large.", "上传的文件过大。"),
    ErrorCode.ADDRESS_TOO_LONG: ("The address of the request is too long.", "请求地址过长。"),
    ErrorCode.HEADERS_TOO_LARGE: ("The request has too many or too large headers.", "请求头过多或过大。"),
    ErrorCode.AUDIO_UNREADABLE: ("The file is not audio that can be read.", "无法读取该音频文件。"),
    ErrorCode.AUDIO_TOO_SHORT: ("The reference audio is too short.", "参考音频过短。"),
    ErrorCode.LATENT_REQUIRED: (
        "The installed weights cannot encode a voice; send its latent file (voice_latent) too.",
        "当前模型没有编码器,请同时上传 latent 文件(voice_latent)。",
    ),
    ErrorCode.LATENT_INVALID: ("The latent file cannot be used.", "latent 文件无效。"),
    ErrorCode.RATE_LIMITED: ("Too many requests; try again later.", "请求过于频繁,请稍后重试。"),
    ErrorCode.QUEUE_FULL: ("Too much work is waiting; try again later.", "排队任务过多,请稍后重试。"),
    ErrorCode.NOT_READY: ("The service is not ready yet.", "服务尚未就绪。"),
    ErrorCode.DEADLINE_EXCEEDED: ("Not finished in time.", "未能在限定时间内完成。"),
    ErrorCode.CANCELLED: ("The job was cancelled.", "任务已取消。"),
    ErrorCode.SYNTHESIS_FAILED: ("The speech could not be made.", "语音合成失败。"),
    ErrorCode.WORKER_LOST: ("The worker was lost; try again.", "工作进程异常退出,请重试。"),
    ErrorCode.STORAGE_FULL: ("There is no room left to store this.", "存储空间不足。"),
    ErrorCode.STORE_UNAVAILABLE: ("A part of the service is away; try again.", "服务暂时不可用,请重试。"),
    ErrorCode.METHOD_NOT_ALLOWED: ("This method is not allowed here.", "不支持该请求方法。"),
    ErrorCode.NOT_ACCEPTABLE: ("None of the accepted forms can be made.", "无法提供所要求的响应格式。"),
    ErrorCode.RANGE_NOT_SATISFIABLE: ("The range lies outside the audio.", "请求的范围超出音频长度。"),
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: (
        "The body must be JSON or a form.",
        "请求体必须是 JSON 或表单。",
    ),
    ErrorCode.UNSUPPORTED_FORMAT: ("This audio format cannot be made here.", "不支持该音频格式。"),
    ErrorCode.INTERNAL: ("Something went wrong on our side.", "服务内部错误。"),
}

FIELDS: Mapping[FieldProblem, _Sentences] = {
    FieldProblem.MISSING: ("{field} is needed", "缺少 {field}"),
    FieldProblem.EMPTY: ("{field} is empty", "{field} 为空"),
    FieldProblem.NOT_TEXT: ("{field} must be text", "{field} 必须是文本"),
    FieldProblem.NOT_NUMBER: (
        "{field} must be a number between {limit}",
        "{field} 必须是数字,范围 {limit}",
    ),
    FieldProblem.NOT_INTEGER: (
        "{field} must be a whole number between {limit}",
        "{field} 必须是整数,范围 {limit}",
    ),
    FieldProblem.NOT_BOOLEAN: ("{field} must be true or false", "{field} 必须是 true 或 false"),
    FieldProblem.NOT_OBJECT: ("{field} must be an object", "{field} 必须是对象"),
    FieldProblem.NOT_LIST: ("{field} must be a list", "{field} 必须是列表"),
    FieldProblem.OUT_OF_RANGE: ("{field} must be between {limit}", "{field} 超出范围,应为 {limit}"),
    FieldProblem.TOO_LONG: (
        "{field} may have at most {limit} characters",
        "{field} 最多 {limit} 个字符",
    ),
    FieldProblem.TOO_MANY: ("{field} may have at most {limit} entries", "{field} 最多 {limit} 项"),
    FieldProblem.NOT_A_CHOICE: ("{field} must be one of {limit}", "{field} 必须是以下之一:{limit}"),
    FieldProblem.BAD_PATTERN: ("{field} must be {limit}", "{field} 格式应为 {limit}"),
    FieldProblem.NOT_A_URL: ("{field} must be an http or https URL", "{field} 必须是 http 或 https 网址"),
    FieldProblem.CONFLICT: ("{field} contradicts {limit}", "{field} 与 {limit} 不一致"),
    FieldProblem.UNKNOWN: ("{field} is unknown", "未知字段 {field}"),
    FieldProblem.NOT_SET_UP: (
        "{field} cannot be used: this service has no {limit}",
        "无法使用 {field}:服务未设置 {limit}",
    ),
    FieldProblem.NOT_PUBLIC: ("{field} must lead to a public address", "{field} 必须指向公网地址"),
}


def field_error(field: str, problem: FieldProblem, limit: str | None = None) -> FieldError:
    """A FieldError with its English sentence."""
    return FieldError(field, _field_sentence(field, problem, limit, Language.EN), limit, problem)


def describe_field(error: FieldError, language: Language = Language.EN) -> str:
    if error.problem is None or language is Language.EN:
        return error.message
    return _field_sentence(error.field, error.problem, error.limit, language)


def describe_code(code: ErrorCode, language: Language = Language.EN, params: Mapping[str, object] | None = None) -> str:
    """The sentence of a code; without the params it asks for, the sentence loses its numbers."""
    sentence = CODES[code][language is Language.ZH]
    try:
        return sentence.format_map(params or {})
    except KeyError:
        return {
            Language.EN: code.value.replace("_", " ").capitalize() + ".",
            Language.ZH: _SHORT_ZH.get(code, "请求失败。"),
        }[language]


def describe(error: ServiceError, language: Language = Language.EN) -> str:
    """One short sentence for a person: field problems first, as they say most."""
    if error.errors:
        sentences = [describe_field(e, language) for e in error.errors[:3]]
        return ("; " if language is Language.EN else ";").join(sentences)
    if error.detail is not None and language is Language.EN:
        return error.detail
    return describe_code(error.code, language, error.params)


def choose_language(accept_language: str | None) -> Language:
    """The first of zh and en in an Accept-Language header, by weight; English when it names neither."""
    wishes: list[tuple[float, int, Language]] = []
    for place, part in enumerate((accept_language or "").split(",")):
        tag, _, weight = part.partition(";q=")
        name = tag.strip().lower().split("-", 1)[0]
        if name in {"en", "zh"}:
            wishes.append((-_weight(weight), place, Language(name)))
    return min(wishes)[2] if wishes else Language.EN


def _weight(text: str) -> float:
    try:
        return float(text) if text else 1.0
    except ValueError:
        return 0.0


def _field_sentence(field: str, problem: FieldProblem, limit: str | None, language: Language) -> str:
    shown = limit or ""
    if problem in {FieldProblem.OUT_OF_RANGE, FieldProblem.NOT_NUMBER, FieldProblem.NOT_INTEGER}:
        shown = shown.replace("..", " and " if language is Language.EN else " – ")
    return FIELDS[problem][language is Language.ZH].format(field=field, limit=shown)


_SHORT_ZH: Mapping[ErrorCode, str] = {ErrorCode.TEXT_TOO_LONG: "文本过长。"}
