"""Where traces go: to the collector that OpenTelemetry's own variables name, or nowhere."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

from connectors.kit.contract import CallRecord
from storage.tracing import TRACER

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def start(role: str) -> Callable[[], None]:
    """Send the traces of this process, as the service ``syncline-<role>``, if a collector is named; returns how to end it.

    Variables: https://opentelemetry.io/docs/specs/otel/protocol/exporter/ (OTLP over HTTP).
    """
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return lambda: None
    resource = Resource.create({SERVICE_NAME: f"syncline-{role}"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider.shutdown


def note_call(vendor: str, call: CallRecord) -> None:
    """A finished call to a vendor as a span of whatever made it; calls of nobody's are not traced."""
    if not trace.get_current_span().is_recording():
        return
    ended = time.time_ns()
    made = trace.get_tracer(TRACER).start_span(
        f"{vendor} {call.method}",
        kind=SpanKind.CLIENT,
        attributes={
            "http.request.method": call.method,
            "http.response.status_code": call.status,
            "http.request.resend_count": call.attempt - 1,
            "syncline.vendor": vendor,
        },
        start_time=ended - int(call.duration_s * 1e9),
    )
    if call.status == 0 or call.status >= 400:
        made.set_status(StatusCode.ERROR)
    made.end(ended)
