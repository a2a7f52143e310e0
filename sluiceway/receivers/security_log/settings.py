"""The settings of the receiver `security_log`."""

from __future__ import annotations

from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from sluiceway.config.types import Section
from sluiceway.receivers.journald.settings import JournalSettings
from sluiceway.receivers.security_log.counts import EVENTS, FAILURES
from sluiceway.receivers.security_log.files import FileSettings
from sluiceway.receivers.security_log.presets import Name
from sluiceway.receivers.security_log.records import OnUnmapped, Raw
from sluiceway.receivers.syslog.settings import SyslogSettings
from sluiceway.scraping import Declares, MetricSettings, ScrapeSettings

__all__ = ["SecurityLogConfig"]


class SecurityLogConfig(FileSettings, ScrapeSettings):
    """What is read, and what becomes of it."""

    presets: tuple[Name, ...] = Field(min_length=1)
    """Whose lines are known. Each line is shown to the presets of its program, in this order."""
    journald: Section[JournalSettings] = None
    """Entries of systemd's journal are read as well, or instead."""
    syslog: SyslogSettings | None = None
    """Messages that come over the network are read as well, or instead."""
    on_unmapped: OnUnmapped = "keep"
    """What becomes of a line that no preset knows: its text is kept as a record, dropped and counted as filtered, or
    kept with the attribute `security.unmapped`."""
    raw: Raw = "keep"
    """What an event holds of its line: the text (`raw_data`), its SHA-256 (`raw_data_hash`), or nothing."""
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
