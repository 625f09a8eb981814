"""Traces (OpenTelemetry), and how they travel: what has to be done because of something is a row, so the row says what caused it.

Without a provider (`bootstrap.tracing`) nothing here does anything. Spans hold ids and numbers, never values of records, and of
an error its code alone: messages quote values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from domain.errors import SynclineError

TRACER = "syncline"
CAUSES_MOST = 16
"""So many causes of one piece of work are named; of ten thousand records edited by ten thousand requests, these."""

_W3C = TraceContextTextMapPropagator()


def traceparent() -> str | None:
    """The current span as W3C Trace Context writes it (https://www.w3.org/TR/trace-context/); None where nothing is traced."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return carrier.get("traceparent")


def enabled() -> bool:
    """Whether this process records traces."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


@contextmanager
def span(
    name: str, *, causes: Sequence[str] = (), kind: SpanKind = SpanKind.INTERNAL, **about: str | int
) -> Iterator[Span]:
    """A span within the current one. Work with one cause goes on in that one's trace; work with several is linked to each."""
    parent, links = _caused_by(causes)
    attributes = {f"{TRACER}.{name}": value for name, value in about.items()}
    with trace.get_tracer(TRACER).start_as_current_span(
        name, parent, kind, attributes, links, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except Exception as error:
            note_error(current, error)
            raise


def note_error(current: Span, error: Exception) -> None:
    """Mark a span as failed, by the code of the error."""
    current.set_status(StatusCode.ERROR)
    current.set_attribute("error.type", error.code if isinstance(error, SynclineError) else type(error).__name__)


def _caused_by(causes: Sequence[str]) -> tuple[Context | None, list[Link]]:
    contexts = [_W3C.extract({"traceparent": cause}, Context()) for cause in dict.fromkeys(causes)]
    known = [c for c in contexts if trace.get_current_span(c).get_span_context().is_valid]
    if len(known) == 1:
        return known[0], []
    return None, [Link(trace.get_current_span(c).get_span_context()) for c in known]
