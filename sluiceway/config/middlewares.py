"""The `middlewares` list of servers and clients."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

__all__ = ["Middlewares"]


def _none_yet(value: tuple[dict[str, str], ...]) -> tuple[dict[str, str], ...]:
    if value:
        raise ValueError("no extension can be a middleware")
    return value


Middlewares = Annotated[tuple[dict[str, str], ...], AfterValidator(_none_yet)]
"""Extensions that see each request. There are none yet, so the list must be empty."""
