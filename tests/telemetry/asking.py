"""Asking the small page server, with sockets of the standard library."""

import asyncio

import yaml

from sluiceway.config.telemetry import TelemetryConfig


async def ask(port: int, request: str = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") -> tuple[int, str, str]:
    """Send a request and return status, head and body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.encode())
    async with asyncio.timeout(5):
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return int(head.split(" ")[1]), head, body


def telemetry_config(text: str) -> TelemetryConfig:
    """The settings that `service::telemetry` gives."""
    return TelemetryConfig.model_validate(yaml.safe_load(text))
