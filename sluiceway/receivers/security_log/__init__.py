"""Makes security events of log lines: sshd, sudo, PAM, auditd, PostgreSQL and pgaudit, nginx, Apache, Kubernetes.

Each line becomes at most one event of the Open Cybersecurity Schema Framework (OCSF 1.8): class, activity, outcome,
severity, user, source. In a logs pipeline the event is a log record: its body is the event as a map, its name
`ocsf.<class>`, and `user.name`, `source.address` and `process.pid` are attributes. What has no field in OCSF stands
under `unmapped`. In a metrics pipeline events are counted, in `security.events` and `security.auth.failures`. One
receiver may stand in both.

Lines are an attacker's. What a sender chooses is told apart from what the program itself wrote by its place, so that a
user named `root from 1.2.3.4` does not change the address; where a line can be read in two ways nothing is claimed.
All is read in one pass, without patterns that could take long. Control characters come out as escapes, as JSON writes
them. A line that cannot be read costs itself. Nothing proves that a line is the program's own: who can write into the
log can lie.

Files, the journal (as by `journald`) and the network (as by `syslog`) may be read at once. While the pipeline refuses,
files and the journal are not read on, and what was refused is sent again. Files are told apart and rotated as by
`file_log`. Where reading stands is kept by the extension that `storage` names; without it, it is kept in memory, and
after a restart begins anew at `start_at`. `operators` work on lines before they are mapped, as `container` does, which
takes a line out of what a container runtime wraps around it.

```yaml
receivers:
  security_log:
    include: [/var/log/auth.log]
    presets: [sshd, sudo, pam]
```

PAM tells of the attempts of sshd, sudo and su once more: its line is then an event of the activity `Preauth`, which
`security.auth.failures` does not count. auditd's USER_LOGIN counts, so that sshd and auditd of one machine, read both,
count the same attempt twice.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from sluiceway.component import Component, Kind, Stability
from sluiceway.config.types import Commas, Section
from sluiceway.otlp import Signal
from sluiceway.receivers.security_log.counts import EVENTS, FAILURES
from sluiceway.receivers.security_log.presets import Name
from sluiceway.receivers.security_log.receiver import SecurityLogReceiver
from sluiceway.receivers.security_log.records import OnUnmapped, Raw
from sluiceway.scraping import Declares, MetricSettings, ScrapeSettings
from sluiceway.stanza.files import FileSettings
from sluiceway.stanza.journal.settings import JournalSettings
from sluiceway.stanza.outlet import OutletSettings
from sluiceway.stanza.syslog.settings import SyslogSettings

__all__ = ["COMPONENT", "SecurityLogConfig", "SecurityLogReceiver"]


class SecurityLogConfig(FileSettings, OutletSettings, ScrapeSettings):
    """The settings of the receiver `security_log`: what is read, and what becomes of it."""

    presets: Annotated[tuple[Name, ...], Commas()] = Field(min_length=1)
    """Whose lines are known. Each line is shown to the presets of its program, in this order."""
    journald: Section[JournalSettings] = None
    """Entries of systemd's journal are read as well, or instead."""
    syslog: SyslogSettings | None = None
    """Messages that come over the network are read as well, or instead."""
    storage: str | None = None
    """The id of a storage extension that keeps where reading stands, such as `file_storage`; in memory unless set."""
    max_log_size_behavior: Literal["split", "truncate"] = "truncate"
    """What becomes of a line that is longer than `max_log_size`: it is cut, or several."""
    on_unmapped: OnUnmapped = "keep"
    """What becomes of a line that no preset knows: its text is kept as a record, dropped and counted as filtered, or
    kept with the attribute `security.unmapped`."""
    raw: Raw = "keep"
    """What an event holds of its line: the text (`raw_data`), its SHA-256 (`raw_data_hash`), or nothing.

    With the last two the text of a line that is no event stands nowhere either: its body is the hash, or empty.
    """
    location: str = "Local"
    """The time zone of times in files that name none, such as `Europe/Berlin`; `Local` is the machine's."""
    hostname: str = ""
    """The machine of lines that name none; this one unless set."""
    metrics: Annotated[MetricSettings, Declares(EVENTS, FAILURES)] = MetricSettings()
    """Which metrics a metrics pipeline gets."""

    @model_validator(mode="after")
    def _check_sources(self) -> Self:
        if not (self.include or self.journald or self.syslog):
            raise ValueError("nothing is read: set include, journald or syslog")
        return self

    @field_validator("location")
    @classmethod
    def _check_location(cls, location: str) -> str:
        try:
            if location != "Local":
                ZoneInfo(location or "UTC")
        except (ValueError, OSError, LookupError):
            raise ValueError(f"failed to load location {location}") from None
        return location

    @field_validator("presets")
    @classmethod
    def _check_presets(cls, presets: tuple[Name, ...]) -> tuple[Name, ...]:
        if len(set(presets)) < len(presets):
            raise ValueError("a preset is named twice")
        return presets


COMPONENT = Component(
    type="security_log",
    kind=Kind.RECEIVER,
    config=SecurityLogConfig,
    create=SecurityLogReceiver,
    signals=frozenset({Signal.LOGS, Signal.METRICS}),
    stability=Stability.BETA,
)
