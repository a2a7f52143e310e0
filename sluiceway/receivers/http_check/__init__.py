"""Checks HTTP endpoints, REST and GraphQL: whether they answer, as they should, how fast, and until when TLS is valid.

Each check opens a connection of its own, so that every step is there to be timed: the lookup of the name, the TCP
connection, the TLS handshake, sending the request, waiting for the first byte, and receiving the rest. All steps but
the total are off by default. Over redirects they add up; a step that did not take place or did not end has no point.
Times are whole milliseconds, as in the Collector. Checks run side by side, begun 5 ms apart so that they do not slow
each other down, and a slow server costs the others nothing.

A check that fails gives `httpcheck.error` with an `error.message` that is one of a few fixed texts, the step and the
reason: `dns: name not found`, `connect: connection refused`, `tls: certificate has expired`, `first byte: timed out`.
Addresses, ports and what a server says are never in it, so that the number of series is bounded. A failed check is no
error of the receiver. `httpcheck.status` has five points for each check: 1 for the class of the status, with
`http.status_code`, and 0 without one for the others, and for all when there was no answer.

`httpcheck.tls.cert_remaining` comes also of certificates that were refused, such as expired ones (then it is negative):
a second connection looks at them, on which nothing is sent. It needs `sluiceway[http-check]`.

`validations` look at the body, of at most `max_response_size`, as it was sent: compression is not asked for. Patterns
are RE2's, which take linear time. `httpcheck.validation.passed` and `.failed` have a point for each type, 0 too. Of a
`graphql` request, a 200 whose answer carries `errors` is a failure: it gives `httpcheck.error` with
`graphql: the answer has errors`, and counts as a validation of the type `graphql`.

Points are told apart by `http.url`, which shows no password and no signature (`AWSAccessKeyId`, `Signature`, `sig`,
`X-Goog-Signature`: what semantic conventions name for `url.full`). Where one URL is checked more than once, all have
`http.method`; `graphql.operation.name` and `httpcheck.target.name` stand where targets have an `operation_name` or a
`name`. Redirects are followed, without the configured headers and credentials when they lead to another server; 307 and
308 send the body again, wherever they lead. A measurement that the pipeline refuses is dropped and counted.

```yaml
receivers:
  http_check:
    targets:
      - endpoint: https://www.example.com/health
```

HTTP/1.1 only; proxies over `http://` only, and what a proxy takes to connect counts as the connection.
"""

from __future__ import annotations

import math
import ssl
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Final, Self

from pydantic import Field, model_validator
from yarl import URL

from sluiceway.component import Component, Consumer, Context, Kind
from sluiceway.config.auth import credentials
from sluiceway.config.listen import is_loopback
from sluiceway.config.tls import TlsClient
from sluiceway.extras import require
from sluiceway.otlp import Signal
from sluiceway.receivers.http_check.metrics import CERTIFICATE, METRICS
from sluiceway.receivers.http_check.settings import Target
from sluiceway.scraping import Declares, MetricSettings, Scraper, ScrapeSettings, Scraping

if TYPE_CHECKING:
    from sluiceway.receivers.http_check.scraper import HttpScraper

__all__ = ["COMPONENT", "HttpCheckReceiver", "HttpCheckSettings"]

APART: Final = 0.005
"""Seconds between the beginnings of two checks, more than the work of one takes."""
SPREAD: Final = 0.1
"""The part of an interval over which checks begin at most."""
LOOKUPS: Final = 256
"""Names that are looked up at the same time, each in a thread, which a dead name server may hold for half a minute."""

_SIGNATURES: Final = frozenset({"AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature"})
"""Parameters that are secrets: https://opentelemetry.io/docs/specs/semconv/registry/attributes/url/, `url.full`."""


class HttpCheckSettings(ScrapeSettings):
    """The settings of the receiver `http_check`."""

    targets: tuple[Target, ...] = ()
    """What is checked; at least one."""
    max_concurrent_checks: int = Field(default=256, gt=0)
    """How many checks run at the same time; the others wait. Ours."""
    metrics: Annotated[MetricSettings, Declares(*METRICS)] = MetricSettings()
    """Which metrics are emitted, and how."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.targets:
            raise ValueError("no targets configured")
        return self

    @property
    def within(self) -> float:
        """Seconds for all checks; shorter than `timeout`, which would throw away what was found."""
        return self.timeout * 0.9 or math.inf


class HttpCheckReceiver:
    """The receiver: a loop over all checks. Entering it reads the TLS files and connects to nothing yet."""

    def __init__(self, settings: HttpCheckSettings, context: Context, next: Consumer) -> None:
        self._settings = settings
        self._context = context
        self._next = next
        if settings.metrics.enables(CERTIFICATE):
            require(CERTIFICATE.name, "http-check", "cryptography")
        self._proofs = [credentials(target.auth, context) for target in settings.targets]
        self._stack = AsyncExitStack()
        self.scraping: Scraping | None = None

    async def __aenter__(self) -> Self:
        lookups = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="http_check")
        self._stack.callback(lookups.shutdown, wait=False, cancel_futures=True)
        part = Scraper("http_check", self._open(lookups).scrape, self._settings.metrics)
        scraping = Scraping(self._settings, self._context, self._next, [part])
        self.scraping = await self._stack.enter_async_context(scraping)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _open(self, lookups: ThreadPoolExecutor) -> HttpScraper:
        from sluiceway.receivers.http_check.check import Check, Means
        from sluiceway.receivers.http_check.scraper import HttpScraper, Named, asked

        settings, context = self._settings, self._context
        peeks = settings.metrics.enables(CERTIFICATE)
        contexts = self._contexts()
        checks = []
        for at, url, method, attributes in asked(settings.targets, _shown):
            target = settings.targets[at]
            means = Means(context.clock, lookups, contexts(target.tls), self._proofs[at], target.limit, peeks)
            checks.append(Named(Check(target, url, method, means), method, attributes))
            if target.auth is not None and _is_readable(URL(url)):
                context.logger.warning("credentials go to %s in plain text, where anybody can read them", URL(url).host)
        self._warn_of_twins([(*sorted(named.attributes.items()), ("", named.method)) for named in checks])
        window = min(settings.collection_interval, settings.timeout or settings.collection_interval) * SPREAD
        return HttpScraper(
            checks, settings.max_concurrent_checks, context.clock, min(APART, window / len(checks)), settings.within
        )

    def _contexts(self) -> Callable[[TlsClient], Callable[[], ssl.SSLContext]]:
        """One context for all targets whose `tls` is the same, as making one takes tens of milliseconds."""
        made: dict[TlsClient, Callable[[], ssl.SSLContext]] = {}

        def context(tls: TlsClient) -> Callable[[], ssl.SSLContext]:
            if tls not in made:
                made[tls] = tls.reloaded_ssl_context(self._context.clock, self._context.logger)
                made[tls]()  # a file that cannot be used is told at the start
            return made[tls]

        return context

    def _warn_of_twins(self, identities: list[tuple[tuple[str, str], ...]]) -> None:
        for identity, count in Counter(identities).items():
            if count > 1:
                text = "%s is checked %d times in a way that cannot be told apart; give the targets names"
                self._context.logger.warning(text, dict(identity)["http.url"], count)


def _shown(url: str) -> str:
    """A URL without its user and password, and without the signatures that give access by themselves."""
    parsed = URL(url)
    if parsed.user is not None or parsed.password is not None:
        parsed = parsed.with_user(None)
    secrets = dict.fromkeys(_SIGNATURES & parsed.query.keys(), "REDACTED")
    shown = parsed.update_query(secrets) if secrets else parsed
    return url if shown == URL(url) else str(shown)


def _is_readable(url: URL) -> bool:
    return url.scheme == "http" and not is_loopback(f"[{url.host}]:{url.port}", "tcp")


COMPONENT = Component(
    type="http_check",
    kind=Kind.RECEIVER,
    config=HttpCheckSettings,
    create=HttpCheckReceiver,
    signals=frozenset({Signal.METRICS}),
    aliases=("httpcheck",),
)
