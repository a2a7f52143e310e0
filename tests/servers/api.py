"""A REST and GraphQL application under uvicorn, instrumented by the official SDK: `python -m tests.servers.api`.

It sends its spans to the OTLP/HTTP endpoint in `OTEL_EXPORTER_OTLP_ENDPOINT`, listens on the port in its first
argument, tells at `/durations` how long its requests took by its own watch, and at `/flush` has all spans sent.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import graphql
import uvicorn
from fastapi import FastAPI, Request
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

SCHEMA = graphql.build_schema("type Query { fine: String broken: String }")


def fail(*_: Any) -> str:
    """The resolver of `broken`."""
    raise ValueError("broken")


def application(provider: TracerProvider, durations: list[float]) -> Any:
    """The ASGI application inside its own watch."""
    app = FastAPI()

    @app.get("/items/{number}")
    async def item(number: int) -> int:
        await asyncio.sleep(number * 0.001)
        return number

    @app.post("/graphql")
    async def query(request: Request) -> dict[str, Any]:
        body = await request.json()
        result = await graphql.graphql(SCHEMA, body["query"], {"fine": "yes", "broken": fail})
        span = trace.get_current_span()
        span.set_attribute("graphql.operation.name", body["operationName"])
        if result.errors:
            span.set_status(trace.StatusCode.ERROR)
        return result.formatted  # a 200, with or without errors

    @app.get("/durations")
    async def told() -> list[float]:
        return durations

    @app.get("/flush")
    def flush() -> bool:
        return provider.force_flush()

    FastAPIInstrumentor.instrument_app(
        app, tracer_provider=provider, excluded_urls="durations,flush", exclude_spans=["receive", "send"]
    )

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        began = time.perf_counter()
        await app(scope, receive, send)
        if scope["type"] == "http" and scope["path"].startswith("/items"):
            durations.append(time.perf_counter() - began)

    return watched


if __name__ == "__main__":
    traced = TracerProvider(resource=Resource({"service.name": "api"}))
    traced.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    uvicorn.run(application(traced, []), host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
