"""What a receiver of remote write answers, and what follows from it.

The specifications leave 4xx to be final. We differ where the receiver speaks of our settings and not of the data: a
wrong password, path or message is for a person to mend, and the data waits meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sluiceway.errors import DeliveryError, PermanentError, RetryableError
from sluiceway.otlp.status import CODE_OF_HTTP, Code

__all__ = ["Written", "judge", "written"]

_WRITTEN: Final = "X-Prometheus-Remote-Write-{}-Written"
_ADVICE: Final = {
    401: "see headers, auth and the password in the URL",
    403: "see headers, auth and the password in the URL",
    404: "is the path right, and does the receiver take remote write (Prometheus: --web.enable-remote-write-receiver)?",
    405: "is the path right?",
    407: "see proxy_url",
    415: "it does not know this message: see protobuf_message",
    501: "it does not take remote write: is the endpoint right?",
}


@dataclass(frozen=True, slots=True)
class Written:
    """How many samples, histograms and exemplars a receiver says it has written."""

    samples: int = 0
    histograms: int = 0
    exemplars: int = 0


def written(headers: Mapping[str, str]) -> Written | None:
    """What the headers of an answer say was written, zero where one is missing; None where all are."""
    texts = [headers.get(_WRITTEN.format(what)) for what in ("Samples", "Histograms", "Exemplars")]
    if all(text is None for text in texts):
        return None
    return Written(
        *(int(text[:18]) if text is not None and text.isascii() and text.isdecimal() else 0 for text in texts)
    )


def judge(status: int, text: str, retry_after: float | None, *, protobuf_message: str) -> DeliveryError:
    """The error for an answer that is no success.

    A permanent one for 400 and 422 has the code INVALID_ARGUMENT, for 413 RESOURCE_EXHAUSTED: a receiver that takes
    all or nothing, as Prometheus did for long, may take what else is in the request.
    """
    code, cause = CODE_OF_HTTP.get(status, Code.UNKNOWN).name, f"HTTP {status}"
    if status in _ADVICE:
        which = f" ({protobuf_message})" if status == 415 else ""
        advice = f"{_ADVICE[status]}{which}"
        return RetryableError(f"{text}; {advice}", code=code, advice=advice, cause=cause)
    if status == 429 or status >= 500:
        code = "UNAVAILABLE" if status >= 500 else code
        return RetryableError(text, retry_after=retry_after, code=code, cause=cause)
    return PermanentError(text, code=code, cause=cause)
