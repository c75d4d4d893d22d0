"""Traces from Mp1 to the commit: OpenTelemetry spans, passed on by W3C Trace Context (ADR 0025).

Off, which it is without a collector's address, this costs one look at a None; on, every request has a task and a span
for each of its steps. The optional extra ``otel`` brings the libraries.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cse.onem2m.primitives import Operation, Request, Response
from cse.ports import Send, Sender

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span

_TRACE_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
#: how long a collector may take for a batch, in seconds; batches are sent by a thread of their own
_EXPORT_S = 3


class TracingUnavailable(Exception):
    """Traces are wanted and cannot be made. The message says in one line what to mend."""


class Tracing:
    """Makes the spans of one process.

    Args:
        name: of the process, as the collector shows it.
        processor: takes finished spans.
        attributes: of the process, e.g. its CSE-ID.
    """

    def __init__(self, name: str, processor: SpanProcessor, attributes: Mapping[str, str] | None = None) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider

        self._trace = trace
        # The sampler is what OTEL_TRACES_SAMPLER says; default: all, or what the caller decided.
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": name, **(attributes or {})}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("onemec")

    def close(self) -> None:
        """Export what is left; waits, so call it in a thread of its own."""
        self._provider.shutdown()

    # --- where a trace is

    def header(self) -> str:
        """The ``traceparent`` that continues the span that runs, "" when none does."""
        return self._header_of(self._trace.get_current_span())

    def _header_of(self, span: Span) -> str:
        context = span.get_span_context()
        if not context.is_valid:
            return ""
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags) & 1:02x}"

    def _context(self, trace_parent: str | None) -> Any:
        """The context a header names; the one that runs for None, none for ""."""
        if trace_parent is None:
            return None
        trace = self._trace
        span = trace.INVALID_SPAN
        if found := _TRACE_PARENT.fullmatch(trace_parent):
            flags = trace.TraceFlags(int(found[3], 16) & 1)
            span = trace.NonRecordingSpan(
                trace.SpanContext(int(found[1], 16), int(found[2], 16), is_remote=True, trace_flags=flags)
            )
        return trace.set_span_in_context(span)

    # --- spans

    @contextmanager
    def work(self, name: str, trace_parent: str | None = None) -> Iterator[Span]:
        """A span of this process.

        Args:
            name: what is done.
            trace_parent: what it goes on with; None for the span that runs.
        """
        with self._tracer.start_as_current_span(name, context=self._context(trace_parent)) as span:
            yield span

    @contextmanager
    def request(self, request: Request) -> Iterator[Span]:
        """The span of a request that was taken; what the request causes at others goes on with it."""
        with self._tracer.start_as_current_span(
            f"oneM2M {Operation(request.operation).name}",
            context=self._context(request.trace_parent),
            kind=self._trace.SpanKind.SERVER,
            attributes=_attributes(request),
        ) as span:
            request.trace_parent = self._header_of(span)
            yield span

    def answered(self, span: Span, response: Response) -> None:
        """Note the status of a request's response; an error of ours (5xxx) marks the span."""
        status = response.status
        span.set_attribute("onem2m.response_status_code", int(status))
        if int(status) >= 5000:
            span.set_status(self._trace.StatusCode.ERROR, status.name)

    async def send(self, sender: Sender, url: str, send: Send) -> Response:
        """Send a request to another entity in a span of its own, and pass that on.

        Raises:
            Unreachable: as the sender does.
        """
        request = send.request
        with self._tracer.start_as_current_span(
            f"send {Operation(request.operation).name}",
            context=self._context(request.trace_parent),
            kind=self._trace.SpanKind.CLIENT,
            attributes=_attributes(request) | {"url.scheme": url.partition("://")[0], "onem2m.receiver": send.receiver},
        ) as span:
            onward = replace(send, request=replace(request, trace_parent=self._header_of(span)))
            answer = await sender.send(url, onward)
            self.answered(span, answer)
            return answer

    @contextmanager
    def call(self, name: str, headers: dict[str, str], **attributes: str) -> Iterator[Span]:
        """The span of an HTTP request to somebody who speaks no oneM2M; its ``traceparent`` is added to the headers."""
        with self._tracer.start_as_current_span(name, kind=self._trace.SpanKind.CLIENT, attributes=attributes) as span:
            headers["traceparent"] = self._header_of(span)
            yield span


def _attributes(request: Request) -> dict[str, Any]:
    return {
        "onem2m.operation": Operation(request.operation).name,
        "onem2m.to": request.to,
        "onem2m.originator": request.originator,
        "onem2m.request_id": request.request_id,
        "onem2m.resource_type": request.resource_type or 0,
        "network.protocol.name": request.binding or "internal",
    }


def read_trace_parent(value: str) -> str | None:
    """A ``traceparent`` header as it is worth something, None as it is not: then a new trace begins."""
    return value if _TRACE_PARENT.fullmatch(value) else None


def work(tracing: Tracing | None, name: str, trace_parent: str | None = None) -> AbstractContextManager[object]:
    """As ``Tracing.work``, or nothing without tracing."""
    return nullcontext() if tracing is None else tracing.work(name, trace_parent)


def current_trace_id() -> str:
    """The identifier of the trace that runs, for log lines; "" for none."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return ""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else ""


def open_tracing(url: str, name: str, attributes: Mapping[str, str] | None = None) -> Tracing | None:
    """Tracing to a collector that takes OTLP over HTTP; None when there is no URL.

    Args:
        url: of the collector, e.g. ``http://127.0.0.1:4318``.
        name: of this process.
        attributes: of this process.

    Raises:
        TracingUnavailable: the libraries are not installed.
    """
    if not url:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracingUnavailable(f"traces need OpenTelemetry ({error}): pip install 'onemec[otel]'") from error
    exporter = OTLPSpanExporter(endpoint=f"{url.rstrip('/')}/v1/traces", timeout=_EXPORT_S)
    return Tracing(name, BatchSpanProcessor(exporter), attributes)
