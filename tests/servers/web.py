"""A REST and GraphQL application under uvicorn: `python -m tests.servers.web PORT`, and what starts it."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import graphql
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from tests.ports import free_port

__all__ = ["listening", "web_application"]

ROOT = Path(__file__).parents[2]
SCHEMA = graphql.build_schema("type Query { fine(times: Int = 1): String broken: String }")
EVERY = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]


class Answers:
    """The resolvers."""

    def fine(self, _: Any, times: int) -> str:
        """A text."""
        return "yes" * times

    def broken(self, _: Any) -> str:
        """What fails."""
        raise ValueError("secret of the database")


def application() -> FastAPI:
    """The application."""
    app = FastAPI()

    @app.get("/items/{number}")
    async def item(number: int) -> dict[str, Any]:
        return {"number": number, "tags": ["a", "b"], "ok": True, "price": 1.5, "nothing": None}

    @app.api_route("/echo", methods=EVERY)
    async def echo(request: Request) -> dict[str, Any]:
        body = await request.body()
        return {"method": request.method, "headers": dict(request.headers), "body": body.decode("latin-1")}

    @app.post("/graphql")
    async def query(request: Request) -> Response:
        asked = json.loads(await request.body())
        result = await graphql.graphql(
            SCHEMA,
            asked["query"],
            Answers(),
            operation_name=asked.get("operationName"),
            variable_values=asked.get("variables"),
        )
        accepted = request.headers["accept"].split(",")[0]
        kind = "application/json" if request.query_params.get("old") else accepted
        return Response(json.dumps(result.formatted), media_type=kind)

    @app.api_route("/redirect", methods=EVERY)
    async def redirect(to: str, status: int) -> Response:
        return RedirectResponse(to, status)

    @app.get("/status/{status}")
    async def answer(status: int) -> Response:
        return Response(status_code=status)

    return app


def listening(port: int, process: subprocess.Popen[bytes] | asyncio.subprocess.Process) -> None:
    """Wait until somebody listens."""
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            ended = process.poll() if isinstance(process, subprocess.Popen) else process.returncode
            assert ended is None, "the server has ended"
            assert time.monotonic() < deadline, "the server does not listen"
            time.sleep(0.02)
        else:
            return


@contextmanager
def web_application() -> Iterator[str]:
    """Run the application; its URL."""
    port = free_port()
    with subprocess.Popen([sys.executable, "-m", "tests.servers.web", str(port)], cwd=ROOT) as process:
        try:
            listening(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


if __name__ == "__main__":
    uvicorn.run(application(), host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
