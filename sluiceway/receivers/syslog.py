"""Takes syslog messages, RFC 3164 or RFC 5424, over UDP, TCP or TLS.

Each message becomes a log record: the body is the message as it came, its parts are attributes (`appname`, `hostname`,
`message`, `proc_id`, `msg_id`, `structured_data`, `priority`, `facility`, ...), time and severity are its own. What has
arrived goes on as one batch.

Syslog knows no answer: a sender is never told that its message arrived. Over TCP nothing more is read while the
pipeline refuses, so that the sender waits; what was read and is not yet delivered is lost when the process dies. Over
UDP, packets wait in a bounded queue, and those that find no room are dropped and counted. Nobody proves who he is,
unless TLS asks for certificates (`client_ca_file`): whoever reaches the port can write what he likes, in another host's
name too.

```yaml
receivers:
  syslog:
    tcp: {listen_address: "localhost:54526"}
    protocol: rfc5424
```
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from sluiceway.component import Component, Consumer, Context, Kind, Stability
from sluiceway.otlp import Signal
from sluiceway.received import Received
from sluiceway.stanza.outlet import Outlet, OutletSettings, pushing
from sluiceway.stanza.syslog.server import Syslog
from sluiceway.stanza.syslog.settings import SyslogSettings

__all__ = ["COMPONENT", "SyslogConfig", "SyslogReceiver"]


class SyslogConfig(SyslogSettings, OutletSettings):
    """The settings of the receiver `syslog`."""


class SyslogReceiver:
    """Hands on what arrives, again and again while it is refused for now."""

    def __init__(self, config: SyslogConfig, context: Context, next: Consumer) -> None:
        received = Received(context, "tcp" if config.tcp else "udp")
        self._outlet = Outlet(config, context, pushing(received, next, "sluiceway/syslog"))
        self._syslog = Syslog(config, context, self._outlet.deliver)
        self._stack = AsyncExitStack()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that are listened on, once started."""
        return self._syslog.address

    async def __aenter__(self) -> Self:
        """Listen; raises `ConfigError` when the address is in use."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._outlet)
            await stack.enter_async_context(self._syslog)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no more, and deliver what has arrived."""
        await self._stack.__aexit__(kind, error, trace)


COMPONENT = Component(
    type="syslog",
    kind=Kind.RECEIVER,
    config=SyslogConfig,
    create=SyslogReceiver,
    signals=frozenset({Signal.LOGS}),
    stability=Stability.BETA,
)
