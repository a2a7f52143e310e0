"""Every error Sluiceway raises, sorted by who must act.

    SluicewayError
    ├── ConfigError            the person who wrote the configuration
    ├── StartError             the person who runs it: a port is taken, a file cannot be read
    ├── SenderError            the sender: its request was wrong, sending it again will not help
    │   ├── DecodeError        the bytes are not OTLP
    │   ├── TooLargeError      the request is larger than a limit allows
    │   └── UnauthenticatedError   the credentials are missing or wrong
    ├── RefusedError           nobody: this is backpressure, come again after a delay
    └── DeliveryError          the backend
        ├── RetryableError     it may take the same data later
        └── PermanentError     it will never take this data

Texts are written for the person who must act and never hold telemetry or secrets. Errors carry data, not only text,
and constructing one has no side effect.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

__all__ = [
    "LONGEST_DELAY",
    "ConfigError",
    "DecodeError",
    "DeliveryError",
    "PermanentError",
    "Problem",
    "RefusedError",
    "RetryableError",
    "SenderError",
    "SluicewayError",
    "StartError",
    "TooLargeError",
    "UnauthenticatedError",
    "bounded_delay",
]

LONGEST_DELAY: Final = 120.0
"""Seconds: the longest delay that anybody can ask for. A mistaken `Retry-After` must not keep data until it is lost."""


def bounded_delay(seconds: float | None) -> float | None:
    """A delay that was asked for as it counts: between zero and `LONGEST_DELAY`; None where no number was given.

    The one rule for all delays, a backend's and our own: both errors that carry one apply it, so whoever reads
    `retry_after` need not.
    """
    return None if seconds is None or math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_DELAY)


class SluicewayError(Exception):
    """The root of the tree."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a configuration: what is wrong, and where.

    `path` is the Collector's key path (`receivers::otlp::protocols`), `line` and `column` count from one
    and are zero when the value does not come from a file.
    """

    message: str
    path: str = ""
    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: " if self.line else f"{self.file}: " if self.file else ""
        path = f"{self.path}: " if self.path else ""
        return f"{place}{path}{self.message}"


class ConfigError(SluicewayError):
    """The configuration cannot be used; `problems` holds every mistake that was found, not only the first."""

    def __init__(self, *problems: Problem | str) -> None:
        self.problems = tuple(p if isinstance(p, Problem) else Problem(p) for p in problems)
        super().__init__("\n".join(map(str, self.problems)))


class StartError(SluicewayError):
    """A component could not start, for a reason of this machine: a port is taken, a certificate cannot be read."""


class SenderError(SluicewayError):
    """The sender's request was wrong; the same request will be wrong again."""


class DecodeError(SenderError):
    """The bytes are not a valid OTLP message of the signal they claim to be."""


class TooLargeError(SenderError):
    """The request holds more bytes, items or nested messages than a limit allows."""


class UnauthenticatedError(SenderError):
    """The request carries no credentials, or wrong ones."""


class RefusedError(SluicewayError):
    """Backpressure: the data was not taken and is still the caller's; it may come again after `retry_after` seconds.

    These are at most `LONGEST_DELAY`, whatever was asked for, and one where it was no number. `reason` is the one that
    the ledger has for it, where nobody can come again and the data is lost.
    """

    def __init__(self, message: str, retry_after: float = 1.0, *, reason: str = "queue_full") -> None:
        super().__init__(message)
        self.reason = reason
        delay = bounded_delay(retry_after)
        self.retry_after = 1.0 if delay is None else delay


class DeliveryError(SluicewayError):
    """A backend did not take the data. `code` is its gRPC status code by name (`UNAVAILABLE`), where one is known.

    Health checks show two texts, which must hold nothing that a backend has said, and no secrets: `cause`, a few words
    about what happened (`HTTP 503`, `cannot connect to db:5432`), and `advice`, what an operator must do, where nothing
    else will help.
    """

    def __init__(self, message: str, *, code: str = "", advice: str = "", cause: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.advice = advice
        self.cause = cause


class RetryableError(DeliveryError):
    """The backend may take the same data later, not before `retry_after` seconds have passed where it said so.

    These are at most `LONGEST_DELAY`, whatever was asked for.
    """

    def __init__(
        self, message: str, *, retry_after: float | None = None, code: str = "", advice: str = "", cause: str = ""
    ) -> None:
        super().__init__(message, code=code, advice=advice, cause=cause)
        self.retry_after = bounded_delay(retry_after)


class PermanentError(DeliveryError):
    """The backend will never take this data: sending it again is pointless."""
