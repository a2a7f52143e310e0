"""The status codes of gRPC, how HTTP says them, and which of them let the same data be sent again.

The tables are those of the OTLP specification; receiver, exporters and load generator read the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

__all__ = ["CODE_OF_HTTP", "HTTP_OF_CODE", "RETRYABLE", "RETRYABLE_HTTP", "Code"]


class Code(IntEnum):
    """The status codes of gRPC."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


RETRYABLE: Final = frozenset(
    {Code.CANCELLED, Code.DEADLINE_EXCEEDED, Code.ABORTED, Code.OUT_OF_RANGE, Code.UNAVAILABLE, Code.DATA_LOSS}
)
"""Codes that let the same data be sent again; RESOURCE_EXHAUSTED does so only together with `RetryInfo`."""
RETRYABLE_HTTP: Final = frozenset({429, 502, 503, 504})
"""HTTP statuses that let the same data be sent again."""

HTTP_OF_CODE: Final[Mapping[Code, int]] = MappingProxyType(
    {
        Code.INVALID_ARGUMENT: 400,
        Code.UNAUTHENTICATED: 401,
        Code.PERMISSION_DENIED: 403,
        Code.UNIMPLEMENTED: 404,
        Code.RESOURCE_EXHAUSTED: 413,
        Code.UNAVAILABLE: 503,
    }
)
"""The HTTP status by which we say a code; 500 for the others. RESOURCE_EXHAUSTED is 413: 429 asks for a repetition."""
CODE_OF_HTTP: Final[Mapping[int, Code]] = MappingProxyType(
    {
        400: Code.INVALID_ARGUMENT,
        401: Code.UNAUTHENTICATED,
        403: Code.PERMISSION_DENIED,
        404: Code.UNIMPLEMENTED,
        413: Code.RESOURCE_EXHAUSTED,
        422: Code.INVALID_ARGUMENT,
        429: Code.RESOURCE_EXHAUSTED,
        502: Code.UNAVAILABLE,
        503: Code.UNAVAILABLE,
        504: Code.UNAVAILABLE,
    }
)
"""The code that a backend's HTTP status means; UNKNOWN for the others."""
