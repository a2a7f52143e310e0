"""The settings of the exporter `file`. Keys, defaults and texts are the Collector's; `fsync` is our own."""

from __future__ import annotations

import re
from typing import Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from sluiceway.config.compression import CompressionParams
from sluiceway.config.exporter import CircuitBreaker, RetryOnFailure, SendingQueue
from sluiceway.config.files import Written
from sluiceway.config.settings import mistake
from sluiceway.config.types import Duration, Section, Settings

__all__ = ["FileConfig", "GroupBy", "Rotation"]

_HIGHEST_LEVEL: Final = 19
"""From 20 on zstd's windows may be larger than 8 MiB, which readers refuse as ours does (RFC 8878 §3.1.1.1.2)."""


class Rotation(Settings):
    """When a file is put aside for a new one, and how many of those are kept."""

    max_megabytes: int = Field(default=100, ge=0)
    """A file does not grow beyond so many MiB; `0` means 100. A single message may be larger."""
    max_days: int = Field(default=0, ge=0, le=36_500)
    """Files put aside are deleted after so many days of 24 hours; `0` keeps them."""
    max_backups: int = Field(default=100, ge=0)
    """Of the files put aside the newest so many are kept; `0` keeps all."""
    localtime: bool = False
    """Whether the time in their names is this machine's rather than UTC."""

    @property
    def max_bytes(self) -> int:
        """The size that a file does not grow beyond."""
        return (self.max_megabytes or 100) * 1024 * 1024


class GroupBy(Settings):
    """A file for each value of a resource attribute."""

    enabled: bool = False
    """Whether the `*` in `path` stands for the value of the attribute."""
    resource_attribute: str = "fileexporter.path_segment"
    """The attribute; it must be a string."""
    max_open_files: int = Field(default=100, ge=1)
    """Files that are open at the same time; the one that was not written to for longest is closed."""


class FileConfig(Settings):
    """The settings of `file`."""

    path: str = ""
    """The file to write to."""
    append: bool = False
    """Whether what is in the file stays. By default, as in the Collector, **a start empties the file**. Unlike there it
    goes with `compression` too: each message is compressed by itself."""
    format: str = "json"
    """`json`, one OTLP/JSON object a line, or `proto`, the OTLP bytes with their length in front."""
    encoding: str | None = None
    """Refused: there are no encoding extensions here."""
    compression: str = ""
    """`zstd` compresses each message by itself; `none`."""
    compression_params: CompressionParams = CompressionParams()
    """How hard to compress: `level`, at most 19."""
    rotation: Section[Rotation] = None
    """Puts a file that has become large aside, with the time in its name; off."""
    flush_interval: Duration = 1.0
    """How often the disk is made to have what was written, with `fsync: interval`. Nothing is buffered here."""
    fsync: Literal["none", "interval", "always"] = "none"
    """When a batch counts as delivered: once the system has it (`none`, `interval`), which survives the end of this
    process, or once the disk has it (`always`), which survives a power cut."""
    create_directory: bool = False
    """Whether the directory is created where it is missing."""
    directory_permissions: str = ""
    """The permissions of a directory that is created, as octal digits; `0755` unless set."""
    file_permissions: str = "0600"
    """The permissions of a file that is created, as octal digits."""
    group_by: GroupBy = GroupBy()
    """A file for each value of a resource attribute, whose place in `path` is a `*`."""
    retry_on_failure: Section[RetryOnFailure] = None
    """How often and when to try again; off."""
    sending_queue: Section[SendingQueue] = None
    """The queue that takes responsibility for batches; off."""
    circuit_breaker: Section[CircuitBreaker] = None
    """Stops attempts while writing fails; off."""

    @field_validator("flush_interval")
    @classmethod
    def _check_interval(cls, seconds: float) -> float:
        if seconds < 0:
            raise ValueError("flush_interval must be larger than zero")
        return seconds or 1.0

    @field_validator("file_permissions")
    @classmethod
    def _check_file_permissions(cls, text: str) -> str:
        return _check_octal("file_permissions", text)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.path:
            raise ValueError("path must be non-empty")
        if "\0" in self.path:
            raise mistake("path must not contain NUL", "path")
        if self.encoding is not None:
            raise mistake("encoding extensions are not available here: use `format`", "encoding")
        if self.append and self.rotation is not None:
            raise ValueError("append and rotation enabled at the same time is not supported")
        if self.format not in ("json", "proto"):
            raise mistake("format type is not supported", "format")
        self._check_compression()
        self._check_groups()
        self._check_directory()
        return self

    def _check_compression(self) -> None:
        if self.compression not in ("", "none", "zstd"):
            raise mistake("compression is not supported", "compression")
        level = self.compression_params.level
        if self.is_compressed and level > _HIGHEST_LEVEL:
            text = f'unsupported parameters {{Level:{level}}} for compression type "zstd"'
            advice = f"the highest is {_HIGHEST_LEVEL}, as readers refuse the windows of higher ones"
            raise mistake(f"{text}: {advice}", "compression_params", "level")

    def _check_groups(self) -> None:
        if not self.group_by.enabled:
            return
        before, star, after = self.path.partition("*")
        if not star or "*" in after:
            raise ValueError("path must contain exactly one * when group_by is enabled")
        if not before:
            raise ValueError("path must not start with * when group_by is enabled")
        if not self.group_by.resource_attribute:
            raise ValueError("resource_attribute must not be empty when group_by is enabled")

    def _check_directory(self) -> None:
        if self.create_directory:
            _check_octal("directory_permissions", self.directory_permissions or "0755")
        elif self.directory_permissions:
            raise ValueError("directory_permissions requires create_directory to be true")

    @property
    def writes_to(self) -> tuple[str, Written]:
        """The files, which nobody else may write to."""
        return "path", Written(self.path, star=self.group_by.enabled)

    @property
    def is_compressed(self) -> bool:
        """Whether messages are compressed."""
        return self.compression not in ("", "none")

    @property
    def has_lines(self) -> bool:
        """Whether messages are lines; otherwise each has its length in front."""
        return self.format == "json" and not self.is_compressed

    @property
    def directory_mode(self) -> int:
        """`directory_permissions` as a number."""
        return int(self.directory_permissions or "0755", 8)

    @property
    def file_mode(self) -> int:
        """`file_permissions` as a number."""
        return int(self.file_permissions, 8)


def _check_octal(key: str, text: str) -> str:
    if not re.fullmatch(r"[0-7]{1,9}", text, re.ASCII):
        raise ValueError(f"{key} value must be a valid octal representation")
    if int(text, 8) & ~0o777:
        raise ValueError(f"{key} contain invalid bits for file access")
    return text
