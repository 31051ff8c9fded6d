"""Traces over API, queue, worker and engine: spans to an OTLP collector, where the settings name one.

The packages of OpenTelemetry are an extra (`tracing`), loaded only then; without an endpoint a span costs nothing.
One trace a request: the API's span goes through the queue in the message's headers (W3C trace context).
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from contract.settings import TracingSettings
from contract.telemetry import event_log

log = event_log(__name__)

TRACE_HEADER = "traceparent"
Attribute = str | int | float | bool


class Tracing(Protocol):
    """What a process tells of its work."""

    def span(
        self, name: str, *, parent: str | None = None, **attributes: Attribute
    ) -> contextlib.AbstractContextManager[None]:
        """A stage, from here to the end of the block.  `parent`: a traceparent from elsewhere."""
        ...

    def begin(self, name: str) -> OpenSpan:
        """A stage that goes on elsewhere; a child of the span that is open here."""
        ...

    def record(self, name: str, began_at: float, ended_at: float, **attributes: Attribute) -> None:
        """A stage that is over; Unix seconds.  A child of the span that is open here."""
        ...

    def close(self) -> None:
        """Send what is left."""
        ...


class OpenSpan(Protocol):
    """A span that no one block holds: whoever goes on with its work, on whatever thread, is within it."""

    def within(self) -> contextlib.AbstractContextManager[object]: ...

    def end(self) -> None: ...


class NoSpan:
    def within(self) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext()

    def end(self) -> None:
        return


class NoTracing:
    """Nobody asked."""

    def span(
        self, name: str, *, parent: str | None = None, **attributes: Attribute
    ) -> contextlib.AbstractContextManager[None]:
        del name, parent, attributes
        return contextlib.nullcontext()

    def begin(self, name: str) -> NoSpan:
        del name
        return NoSpan()

    def record(self, name: str, began_at: float, ended_at: float, **attributes: Attribute) -> None:
        del name, began_at, ended_at, attributes

    def close(self) -> None:
        return


class OtlpTracing:
    """Spans in batches over HTTP; a collector that is away costs spans, never a request."""

    def __init__(self, settings: TracingSettings, *, service: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - as above
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - as above
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415 - as above

        assert settings.endpoint is not None
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": service}),
            sampler=ParentBased(TraceIdRatioBased(settings.sample_ratio)),
        )
        endpoint = settings.endpoint.rstrip("/")
        endpoint = endpoint if endpoint.endswith("/v1/traces") else f"{endpoint}/v1/traces"
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=5)))
        self._tracer = self._provider.get_tracer("megatts3")

    @contextlib.contextmanager
    def span(self, name: str, *, parent: str | None = None, **attributes: Attribute) -> Iterator[None]:
        context = None if parent is None else _context_of(parent)
        with self._tracer.start_as_current_span(name, context=context, attributes=attributes):
            yield

    def begin(self, name: str) -> _Otlp:
        return _Otlp(self._tracer.start_span(name))

    def record(self, name: str, began_at: float, ended_at: float, **attributes: Attribute) -> None:
        span = self._tracer.start_span(name, start_time=_nanoseconds(began_at), attributes=attributes)
        span.end(_nanoseconds(max(began_at, ended_at)))

    def close(self) -> None:
        self._provider.shutdown()


class _Otlp:
    """See OpenSpan."""

    def __init__(self, span: Any) -> None:  # Any: OpenTelemetry's, an extra's type
        self._span = span

    def within(self) -> contextlib.AbstractContextManager[object]:
        from opentelemetry.trace import use_span  # noqa: PLC0415 - an extra

        return use_span(self._span, end_on_exit=False, record_exception=False, set_status_on_exception=False)

    def end(self) -> None:
        self._span.end()


def open_tracing(settings: TracingSettings, *, service: str) -> Tracing:
    """Tracing of this process.  Packages that are missing are a warning: the service speaks without them."""
    if settings.endpoint is None:
        return NoTracing()
    try:
        return OtlpTracing(settings, service=service)
    except ImportError as error:
        log.warning("tracing_not_installed", missing=error.name, extra="tracing")
        return NoTracing()


def trace_headers() -> dict[str, str]:
    """The open span, for a message's headers; empty where nothing traces."""
    if "opentelemetry.sdk.trace" not in sys.modules:
        return {}
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415 - an extra

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return {TRACE_HEADER: carrier[TRACE_HEADER]} if TRACE_HEADER in carrier else {}


def traceparent_of(task_request: object) -> str | None:
    """The trace a Celery task belongs to; headers become attributes of its `self.request`."""
    found = getattr(task_request, TRACE_HEADER, None)
    if found is None:
        headers: Mapping[str, Any] = getattr(task_request, "headers", None) or {}  # Any: Celery's
        found = headers.get(TRACE_HEADER)
    return found if isinstance(found, str) else None


def _context_of(parent: str) -> Any:  # Any: OpenTelemetry's Context, an extra's type
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415 - an extra

    return TraceContextTextMapPropagator().extract({TRACE_HEADER: parent})


def _nanoseconds(unix_s: float) -> int:
    return int(unix_s * 1e9)


def unix_of(monotonic_s: float) -> float:
    """A moment of `time.monotonic` as Unix seconds."""
    return time.time() - (time.monotonic() - monotonic_s)
