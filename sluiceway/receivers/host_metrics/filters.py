"""Which devices, interfaces, file systems and processes are measured, by their names."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal, Self

import re2
from pydantic import Field, model_validator

from sluiceway.config.settings import mistake
from sluiceway.config.types import Settings, StringList
from sluiceway.otlp.selecting import compile_pattern

__all__ = ["DeviceFilter", "InterfaceFilter", "MountPointFilter", "NameFilter", "ProcessFilter", "TypeFilter", "admits"]

Names = Annotated[StringList, Field(min_length=1)]


class NameFilter(Settings):
    """A list of names. The models that stand upon it call the list as the Collector does."""

    match_type: Literal["strict", "regexp"]
    """Whether the list has the names themselves, or RE2 patterns to be found in them."""

    @property
    def listed(self) -> tuple[str, ...]:
        """The names or patterns."""
        return next(getattr(self, key) for key in type(self).model_fields if key != "match_type")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.match_type == "regexp":
            key = next(key for key in type(self).model_fields if key != "match_type")
            for at, pattern in enumerate(self.listed):
                try:
                    compile_pattern(pattern)
                except ValueError as error:
                    raise mistake(str(error), key, at) from None
        return self

    @cached_property
    def _patterns(self) -> list[re2._Regexp]:
        return [compile_pattern(pattern) for pattern in self.listed]

    def holds(self, name: str) -> bool:
        """Whether a name is in the list, or has one of its patterns."""
        if self.match_type == "strict":
            return name in self.listed
        text = name.encode(errors="surrogateescape")
        return any(pattern.search(text) is not None for pattern in self._patterns)


class DeviceFilter(NameFilter):
    """Devices, such as `sda` for `disk`, and `/dev/sda1` for `filesystem`."""

    devices: Names
    """Names or patterns of devices."""


class InterfaceFilter(NameFilter):
    """Interfaces of the network."""

    interfaces: Names
    """Names or patterns of interfaces."""


class TypeFilter(NameFilter):
    """Types of file systems."""

    fs_types: Names
    """Types, such as `ext4`, or patterns of types."""


class MountPointFilter(NameFilter):
    """Where file systems are mounted."""

    mount_points: Names
    """Mount points, such as `/var`, or patterns of mount points."""


class ProcessFilter(NameFilter):
    """Processes."""

    names: Names
    """Names of executables, such as `postgres`, or patterns of names."""


def admits(include: NameFilter | None, exclude: NameFilter | None, name: str) -> bool:
    """Whether a name is to be measured: what is excluded is not, whatever is included."""
    return (include is None or include.holds(name)) and (exclude is None or not exclude.holds(name))
