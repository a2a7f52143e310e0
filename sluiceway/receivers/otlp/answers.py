"""What a sender is told: the one place where errors become gRPC statuses and HTTP responses.

Texts are fixed: no text of an exception and nothing of the data leaves. Who reads the rules of OTLP drops its data on
UNKNOWN, INTERNAL, 500 and a bare RESOURCE_EXHAUSTED, so our own trouble, bugs included, is always UNAVAILABLE or 503
with a delay, and only what the sender must not send again gets anything else.
"""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass
from typing import Final

from sluiceway.errors import (
    DecodeError,
    PermanentError,
    RefusedError,
    RetryableError,
    SenderError,
    TooLargeError,
    UnauthenticatedError,
)
from sluiceway.otlp.anyvalue import sized, varint
from sluiceway.otlp.status import HTTP_OF_CODE, RETRYABLE, Code

__all__ = ["Answer", "answer_to", "answer_to_bug"]

_TYPE: Final = "type.googleapis.com/google.rpc.RetryInfo"


@dataclass(frozen=True, slots=True)
class Answer:
    """A refusal: its code, its text, and after how many seconds the same request may come again, None for never."""

    code: Code
    message: str
    delay: float | None = None

    @property
    def http_status(self) -> int:
        """The HTTP status that says the same. RESOURCE_EXHAUSTED is 413, because 429 would ask for a repetition."""
        return HTTP_OF_CODE.get(self.code, 500)

    @property
    def retry_after(self) -> int | None:
        """The delay as `Retry-After` has it: whole seconds, at least one."""
        return None if self.delay is None else max(1, math.ceil(self.delay))

    def proto(self) -> bytes:
        """Write the answer as a `google.rpc.Status`."""
        status = b"\x08" + varint(self.code) + sized(0x12, self.message.encode())
        if self.delay is None:
            return status
        return status + sized(0x1A, sized(0x0A, _TYPE.encode()) + sized(0x12, _retry_info(self.delay)))

    def json(self) -> bytes:
        """Write the answer as a `google.rpc.Status` in JSON."""
        details = [] if self.delay is None else [{"@type": _TYPE, "retryDelay": f"{self.delay:g}s"}]
        return json.dumps({"code": int(self.code), "message": self.message, "details": details}).encode()


def answer_to(error: BaseException) -> Answer | None:
    """Find the answer to an error of the pipeline or of the request; None when it is nobody's but a bug."""
    match error:
        case UnauthenticatedError():
            return Answer(Code.UNAUTHENTICATED, "the credentials are missing or wrong")
        case TooLargeError():
            return Answer(Code.RESOURCE_EXHAUSTED, "the request is larger than this collector allows")
        case DecodeError():
            return Answer(Code.INVALID_ARGUMENT, "the request is not a valid OTLP message")
        case SenderError():
            return Answer(Code.INVALID_ARGUMENT, "the request lacks something that this pipeline asks of its senders")
        case RefusedError() | RetryableError():
            return Answer(Code.UNAVAILABLE, "the data cannot be taken now, send it again later", _delay(error))
        case PermanentError():
            return Answer(_code(error.code), "this data will never be taken")
        case asyncio.CancelledError():
            return Answer(Code.UNAVAILABLE, "the request was interrupted, send it again", 1.0)
    return None


def answer_to_bug(reference: str) -> Answer:
    """Make the answer to an error that nobody foresaw; `reference` finds it in our log."""
    return Answer(Code.UNAVAILABLE, f"internal error {reference}, send the data again later", 5.0)


def _delay(error: RefusedError | RetryableError) -> float:
    return error.retry_after or 1.0  # a sender that may come again at once would do so in a busy loop


def _code(name: str) -> Code:
    code = Code.__members__.get(name.upper(), Code.INTERNAL)
    # The error says "never"; a code that says "again" would contradict it.
    return Code.INTERNAL if code in RETRYABLE or code is Code.OK else code


def _retry_info(delay: float) -> bytes:
    seconds, rest = divmod(round(delay * 1000), 1000)
    duration = b"\x08" + varint(seconds) if seconds else b""
    return sized(0x0A, duration + (b"\x10" + varint(rest * 1_000_000) if rest else b""))
