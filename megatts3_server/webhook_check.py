"""Webhooks that could never be sent are refused with their job.  What a name leads to is seen as it is called."""

from contract.errors import ErrorCode, FieldProblem, ServiceError
from contract.messages import field_error
from contract.settings import WebhookSettings
from contract.webhooks import is_public, target

_SECRET = "webhooks.secret (MEGATTS3_WEBHOOK_SECRET)"  # noqa: S105 - the setting's name


def require_usable(url: str | None, settings: WebhookSettings) -> None:
    """Raises INVALID_VALUE naming `webhook_url`."""
    if url is None:
        return
    if settings.secret is None:
        raise _refused(FieldProblem.NOT_SET_UP, _SECRET)
    try:
        literal = target(url).literal
    except ValueError:
        raise _refused(FieldProblem.NOT_A_URL) from None
    if literal is not None and not settings.allow_private and not is_public(literal):
        raise _refused(FieldProblem.NOT_PUBLIC)


def _refused(problem: FieldProblem, limit: str | None = None) -> ServiceError:
    return ServiceError(ErrorCode.INVALID_VALUE, errors=(field_error("webhook_url", problem, limit),))
