"""Buys a video from Python as part of a trace: the caller's span, the run, its steps and every request are one trace.

Needs the packages temporalio, opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http, and a worker that traces
(docs/tracing.md). OpenTelemetry reads where the spans go:

    OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 python traced_from_python.py '{
      "prompt": "waves", "duration": 4, "fps": 30, "size": "1280*720",
      "reference_image": "https://example.com/boat.jpg"}'

Prints the trace's id when the run has started, and then the result.
"""

import asyncio
import json
import os
import sys
import uuid

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from temporalio.client import Client
from temporalio.contrib.opentelemetry import TracingInterceptor


async def generate(request: dict) -> dict:
    client = await Client.connect(
        os.environ.get("TEMPORAL_ADDRESS", "127.0.0.1:7233"),
        interceptors=[TracingInterceptor()],
    )
    with trace.get_tracer("caller").start_as_current_span("order") as span:
        run = await client.start_workflow(
            "videoGenerate", request, id=f"python/{uuid.uuid4()}", task_queue="video-generate"
        )
        print(json.dumps({"id": run.id, "trace_id": f"{span.get_span_context().trace_id:032x}"}), flush=True)
        return await run.result()


if __name__ == "__main__":
    provider = TracerProvider(resource=Resource.create({"service.name": "caller"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    result = asyncio.run(generate(json.loads(sys.argv[1])))
    provider.shutdown()  # sends the spans that have ended
    print(json.dumps(result), flush=True)
    os._exit(0)  # as in start_from_python.py
