"""One check: a URL asked with one method, redirects followed, the answer judged, and each step timed."""

from __future__ import annotations

import math
import ssl
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Final, NamedTuple

from yarl import URL

from sluiceway.clock import Clock
from sluiceway.config.http_client import Way, way_to
from sluiceway.errors import ConfigError
from sluiceway.receivers.http_check.connection import Connection, Steps, Tls, connect, peek
from sluiceway.receivers.http_check.exchange import Answer, exchange
from sluiceway.receivers.http_check.failures import CheckError, explain
from sluiceway.receivers.http_check.judging import Judge, graphql_fault
from sluiceway.receivers.http_check.request import Request, basic, follow, graphql_body, guess_type
from sluiceway.receivers.http_check.settings import Target

if TYPE_CHECKING:
    from sluiceway.component import Credentials

__all__ = ["Check", "Means", "Outcome"]

PEEK: Final = 5.0
"""Seconds at most for a second look at a certificate that was refused."""
_GRAPHQL_ACCEPT: Final = "application/graphql-response+json, application/json;q=0.9"


@dataclass
class Outcome:
    """What a check found."""

    status: int = 0
    """The status of the last answer; 0 when there was none."""
    error: str = ""
    """Why the check failed, in one of a few fixed texts."""
    duration: float = 0.0
    """Seconds that all of it took."""
    steps: Steps = field(default_factory=Steps)
    size: int | None = None
    """Bytes of the body; None when there was no answer."""
    certificate: bytes | None = None
    """What the server of the last connection showed, in DER."""
    passed: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)


class Means(NamedTuple):
    """What a check works with."""

    clock: Clock
    lookups: Executor
    """The threads in which names are looked up."""
    tls: Callable[[], ssl.SSLContext]
    proof: Credentials | None
    limit: float
    """Seconds that one check may take at most."""
    peeks: bool
    """Whether certificates that are refused are looked at."""


class Check:
    """A check that can be repeated. Each time it opens a connection of its own."""

    def __init__(self, target: Target, url: str, method: str, means: Means) -> None:
        self._target = target
        self._means = means
        self._judge = Judge(target.validations)
        self._keep = bool(self._judge) or target.graphql is not None
        self._request = _request(target, URL(url), method)
        self._plain = Target(endpoint=url).request_headers()
        self._way(self._request.url)  # what the environment says is checked at the start

    async def run(self, until: float = math.inf) -> Outcome:
        """Check once, `until` a time of the clock at most. Whatever is wrong with the server is in the outcome."""
        outcome = Outcome()
        began = perf_counter()
        try:
            async with self._means.clock.timeout(self._time_left(until)):
                answer = await self._ask(outcome)
            outcome.status, outcome.size = answer.status, answer.size
            self._weigh(answer, outcome)
        except (CheckError, ConfigError, OSError, UnicodeError) as error:
            outcome.error = explain(error, outcome.steps.current)
            outcome.duration = perf_counter() - began
            if self._means.peeks and isinstance(error, ssl.SSLCertVerificationError):
                outcome.certificate = await self._peek(until)
        return outcome

    def _time_left(self, until: float) -> float:
        return max(min(self._means.limit, until - self._means.clock.now()), 0.0)

    async def _ask(self, outcome: Outcome) -> Answer:
        began = perf_counter()
        request = self._request
        if self._means.proof is not None:
            proof = {name.lower(): value for name, value in self._means.proof.request_headers().items()}
            request = request._replace(headers={**request.headers, **proof})
        for _ in range(self._target.max_redirects + 1):
            answer = await self._exchange(request, outcome)
            outcome.duration = perf_counter() - began
            following = follow(request, answer, self._plain) if self._target.max_redirects else None
            if following is None:
                return answer
            request = following
        raise CheckError(f"stopped after {self._target.max_redirects} redirects")

    async def _exchange(self, request: Request, outcome: Outcome) -> Answer:
        way = self._way(request.url)
        tls = self._encryption(request.url)
        connection: Connection = await connect(request.url, way, tls, outcome.steps, self._means.lookups)
        try:
            outcome.certificate = connection.certificate
            if way.proxy is not None and tls is None:
                request = request._replace(headers={**request.headers, **way.headers})
            return await exchange(
                connection,
                request.encode(whole_url=way.proxy is not None and tls is None),
                outcome.steps,
                bodiless=request.method == "HEAD",
                keep=self._keep,
                largest=self._target.max_response_size,
            )
        finally:
            connection.abort()

    def _way(self, url: URL) -> Way:
        way = way_to(url, self._target.proxy_url)
        if way.proxy is not None and way.proxy.scheme != "http":
            raise ConfigError("the environment names a proxy that is not reached by http://, as http_check needs it")
        return way

    def _encryption(self, url: URL) -> Tls | None:
        if url.scheme != "https":
            return None
        name = self._target.tls.server_name_override
        meant = name and url.origin() == self._request.url.with_user(None).origin()
        return Tls(self._means.tls(), name if meant else url.raw_host or "")

    def _weigh(self, answer: Answer, outcome: Outcome) -> None:
        outcome.passed, outcome.failed = self._judge(answer)
        graphql = self._target.graphql
        if graphql is not None and graphql.expect_no_errors:
            fault = graphql_fault(answer)
            outcome.passed["graphql"] += not fault
            outcome.failed["graphql"] += bool(fault)
            outcome.error = f"graphql: {fault}" if fault else ""

    async def _peek(self, until: float) -> bytes | None:
        url = self._request.url
        tls = self._encryption(url)
        if tls is None:
            return None
        try:
            async with self._means.clock.timeout(min(PEEK, self._time_left(until))):
                return await peek(url, self._way(url), tls, self._means.lookups)
        except (CheckError, ConfigError, OSError, UnicodeError):
            return None


def _request(target: Target, url: URL, method: str) -> Request:
    defaults: dict[str, str] = {}
    body = target.body.encode()
    if target.graphql is not None:
        body = graphql_body(target.graphql)
        defaults = {"content_type": "application/json", "accept": _GRAPHQL_ACCEPT}
    elif target.auto_content_type and target.body:
        defaults["content_type"] = guess_type(target.body)
    compress = target.open_compressor()
    if compress is not None and body:
        body = compress(body)
        defaults["content_encoding"] = target.compression
    headers: dict[str, str] = dict(target.request_headers(**defaults))
    if url.user is not None:
        headers.setdefault("authorization", basic(url))
    return Request(url.with_user(None), method, headers, body)
