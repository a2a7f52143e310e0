"""The settings of the receiver `file`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from sluiceway.config.types import Duration, Settings, Size, StringList
from sluiceway.stanza.files.matching import compile_glob
from sluiceway.stanza.files.settings import FileSettings

__all__ = ["LARGEST_RECORD", "FileReceiverConfig"]

LARGEST_RECORD = 128 * 1024 * 1024
"""Bytes: more than the exporter makes of the largest request that the receiver `otlp` takes."""


class FileReceiverConfig(Settings):
    """The settings of the receiver `file`."""

    path: str = ""
    """The file to read."""
    include: StringList = ()
    """The files to read, as patterns: `*`, `?`, `[a-z]`, `{a,b}`, and `**` for any number of directories. They are read
    in the order of their names, which for rotated files is that of their age."""
    exclude: StringList = ()
    """Files not to read, as patterns."""
    format: Literal["auto", "json", "proto"] = "auto"
    """What records are: `json`, which is needed for several signals, `proto`, or what each looks like (`auto`)."""
    compression: Literal["auto", "none", "zstd"] = "auto"
    """Whether records are compressed, each by itself; `auto` looks, and reads whole files that are gzip, too."""
    follow: bool = False
    """Whether to go on reading what is written to the files, and files that come later."""
    poll_interval: Duration = Field(default=0.2, gt=0)
    """How often files are looked at, with `follow`."""
    max_record_size: Size = Field(default=LARGEST_RECORD, ge=1024, le=LARGEST_RECORD)
    """Bytes: a larger record is damaged."""
    storage: str | None = None
    """The id of a storage extension that keeps where reading stands, such as `file_storage`; in memory unless set, so
    that each start reads everything again."""

    @field_validator("include", "exclude")
    @classmethod
    def _check_patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            compile_glob(pattern)
        return patterns

    @model_validator(mode="after")
    def _check_files(self) -> Self:
        if bool(self.path) == bool(self.include):
            raise ValueError("exactly one of `path` and `include` must be set")
        return self

    @property
    def files(self) -> FileSettings:
        """Which files are read, in the words of those that follow files."""
        chosen = FileSettings(
            include=(_escape(self.path),) if self.path else self.include,
            exclude=self.exclude,
            start_at="beginning",
            compression="auto" if self.compression == "auto" else "",
        )
        # Rotated files may begin alike for long: where each is read once, they are not compared with each other.
        fingerprint_size = chosen.fingerprint_size if self.follow else 0
        return chosen.model_copy(update={"poll_interval": self.poll_interval, "fingerprint_size": fingerprint_size})


def _escape(path: str) -> str:
    """A pattern that matches a path and nothing else."""
    return "".join(f"\\{sign}" if sign in "*?[{\\" else sign for sign in path)
