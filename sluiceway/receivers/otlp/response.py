"""HTTP responses and how they are written."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

__all__ = ["Response", "render"]

_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Response:
    """What a request gets. `headers` come besides those that every response has."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


def render(response: Response, common: str, *, last: bool, bodiless: bool) -> bytes:
    """Write a response; `last` says that the connection closes, `bodiless` that the request was a HEAD."""
    lines = [f"HTTP/1.1 {response.status} {_REASONS[response.status]}\r\n", common]
    if response.status != HTTPStatus.NO_CONTENT:
        lines.append(f"Content-Type: {response.content_type}\r\nContent-Length: {len(response.body)}\r\n")
    lines.extend([f"{name}: {value}\r\n" for name, value in response.headers])
    lines.append("Connection: close\r\n\r\n" if last else "\r\n")
    head = "".join(lines).encode("latin-1")
    return head if bodiless else head + response.body
