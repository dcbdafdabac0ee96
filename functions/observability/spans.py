"""Records spans of requests with the OpenTelemetry exporter that OTEL_TRACES_EXPORTER names. Without one, OpenTelemetry
is not imported.

OpenTelemetry itself reads the exporter's variables, such as OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER and
OTEL_SERVICE_NAME ("Environment Variable Specification").
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import fields
from typing import TYPE_CHECKING

from functions.messages.contract import Response
from functions.messages.trace_context import TraceContext
from functions.settings import SettingsError

if TYPE_CHECKING:
    from opentelemetry.context import Context

log = logging.getLogger(__name__)

_GROUP = "opentelemetry_traces_exporter"
FLUSH_S = 2.0
"""Maximum seconds that a request waits until its spans are sent."""

_PAUSE_S = 60.0
"""Seconds for which no request waits after a wait has timed out. Meanwhile a thread sends the spans, or drops them."""


class Spans:
    """Records a span for each request, with a child span for each stage. Callable from any thread.

    The constructor raises SettingsError if the exporter is not installed or cannot start.
    """

    def __init__(self, exporter: str) -> None:
        from importlib.metadata import entry_points

        found = entry_points(group=_GROUP)
        if exporter not in found.names:
            known = ", ".join(sorted({"none", *found.names}))
            raise SettingsError(
                f"OTEL_TRACES_EXPORTER is {exporter!r}; it must be an exporter that is installed: {known} "
                "(otlp is in opentelemetry-exporter-otlp, gcp_trace in opentelemetry-exporter-gcp-trace)"
            )
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        resource = Resource.create()
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):  # OTEL_SERVICE_NAME is not set
            resource = resource.merge(Resource({SERVICE_NAME: "prediction-worker"}))
        self._provider = TracerProvider(resource=resource)
        try:
            self._provider.add_span_processor(BatchSpanProcessor(found[exporter].load()()))
        except Exception as exc:  # each exporter raises its own kinds of exceptions
            raise SettingsError(f"OTEL_TRACES_EXPORTER is {exporter!r}, which cannot start: {exc}") from exc
        self._tracer = self._provider.get_tracer("functions")
        self._resume_at = 0.0

    def record(self, given: TraceContext | None, response: Response) -> TraceContext:
        """Record the spans of a response in the given trace or in a new one. Returns the context of the main span."""
        from opentelemetry import trace

        end = time.time_ns()
        timing = response.timing_ms
        about: dict[str, str | float] = {
            "messaging.system": "gcp_pubsub",
            "request_id": response.request_id,
            "outcome": response.status,
            "code": response.error.code if response.error else "",
            "delivery_attempt": response.delivery_attempt,
            "queue_ms": timing.queue,
        }
        began = end - _ns(timing.total)
        span = self._tracer.start_span("answer", _context(given), trace.SpanKind.CONSUMER, about, start_time=began)
        within = trace.set_span_in_context(span)
        for stage in fields(timing):
            if stage.name not in ("queue", "total") and (ms := getattr(timing, stage.name)):
                # Rounded times may add up to more than the total; a span ends within its parent.
                ended = min(end, began + _ns(ms))
                self._tracer.start_span(stage.name, within, start_time=began).end(ended)
                began = ended
        span.end(end)
        made = span.get_span_context()
        return TraceContext(
            trace.format_trace_id(made.trace_id), trace.format_span_id(made.span_id), made.trace_flags.sampled
        )

    def flush(self) -> None:
        """Send the recorded spans. Call it before a request ends, because there may be no CPU between requests."""
        if time.monotonic() < self._resume_at:
            return
        # force_flush ignores its timeout (opentelemetry-python issue 4568).
        sending = threading.Thread(target=self._provider.force_flush, name="spans", daemon=True)
        sending.start()
        sending.join(FLUSH_S)
        if sending.is_alive():
            self._resume_at = time.monotonic() + _PAUSE_S
            log.warning("spans could not be sent within %g s; no request waits for %g s", FLUSH_S, _PAUSE_S)


def spans(exporter: str) -> Spans | None:
    """Return the recorder for the setting's value, or None when it is `none`. Raises SettingsError."""
    return None if exporter == "none" else Spans(exporter)


def _context(given: TraceContext | None) -> Context:
    """Convert a trace context to OpenTelemetry's type. Without one, the empty context begins a new trace."""
    from opentelemetry import trace
    from opentelemetry.context import Context

    if given is None:
        return Context()
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if given.sampled else trace.TraceFlags.DEFAULT)
    place = trace.SpanContext(int(given.trace_id, 16), int(given.span_id, 16), is_remote=True, trace_flags=flags)
    return trace.set_span_in_context(trace.NonRecordingSpan(place), Context())


def _ns(ms: float) -> int:
    return int(ms * 1_000_000)
