"""`container`: what Docker, containerd and CRI-O write of a container's output, and whose it is."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Final, Literal

import orjson
from pydantic import Field as PydanticField

from sluiceway.config.types import Size
from sluiceway.otlp.selecting import compile_pattern
from sluiceway.stanza.entry import Entry
from sluiceway.stanza.fields import FieldName, field
from sluiceway.stanza.layouts import gotime
from sluiceway.stanza.operators.operator import Operator, Step
from sluiceway.stanza.operators.parser import text

__all__ = ["Container"]

_RFC3339: Final = gotime("2006-01-02T15:04:05.999999999Z07:00")
_PATH: Final = r"^.*[/\\]([^_/\\]+)_([^_/\\]+)_([a-f0-9-]+)[/\\]([^._/\\]+)[/\\](\d+)\.log(?:\.\d{8}-\d{6})?$"
_RESOURCE: Final = (
    "k8s.namespace.name", "k8s.pod.name", "k8s.pod.uid", "k8s.container.name", "k8s.container.restart_count",
)  # fmt: skip


class Container(Operator):
    """Reads a container's lines, joins those that were cut, and names pod and container by the file's path."""

    type: Literal["container"]
    """Which operator it is."""
    format: Literal["", "docker", "crio", "containerd"] = ""
    """What wrote the lines; found for each line where it is empty."""
    parse_from: FieldName = "body"
    """The field to read."""
    add_metadata_from_filepath: bool = True
    """Whether `log.file.path` names pod and container; the receiver must then have `include_file_path`."""
    max_log_size: Size = 0
    """The most bytes of a joined line; 0 for 16 MiB, our own bound."""
    max_batch_size: Annotated[int, PydanticField(ge=0)] = 0
    """How many lines become one at most; 0 for no limit."""

    def step(self) -> Step:
        """Read a line into an entry: body, time, `log.iostream`, and for CRI `logtag`."""
        get = field(self.parse_from).get
        kind, paths = self.format, _metadata if self.add_metadata_from_filepath else None

        def step(entry: Entry) -> None:
            line = text(get(entry), "container")
            if kind == "docker" or (not kind and line.startswith("{")):
                _docker(entry, line)
            else:
                _cri(entry, line)
            if paths is not None:
                _name(entry, paths)

        return step


def _docker(entry: Entry, line: str) -> None:
    try:
        found = orjson.loads(line.encode(errors="replace"))
    except orjson.JSONDecodeError as error:
        raise ValueError(f"failed to parse the docker log: {error}") from None
    log, time, stream = (found.get(key) for key in ("log", "time", "stream")) if isinstance(found, dict) else [None] * 3
    if not isinstance(log, str) or not isinstance(time, str):
        raise ValueError("failed to parse the docker log: log and time are needed")  # noqa: TRY004
    _fill(entry, log, time, stream if isinstance(stream, str) else "")


def _cri(entry: Entry, line: str) -> None:
    """`2026-11-26T11:14:00.123456789Z stdout F message`; the tag is P for a part that goes on."""
    parts = line.split(" ", 3)
    if len(parts) < 3 or parts[1] not in ("stdout", "stderr"):
        raise ValueError("regex pattern does not match")
    _fill(entry, parts[3] if len(parts) > 3 else "", parts[0], parts[1])
    entry.attributes["logtag"] = parts[2]


def _fill(entry: Entry, log: str, time: str, stream: str) -> None:
    entry.time = _RFC3339.read(time, None, entry.observed)
    entry.body = log
    entry.attributes["time"] = time
    if stream:
        entry.attributes["log.iostream"] = stream


def _name(entry: Entry, paths: Callable[[str], dict[str, str]]) -> None:
    path = entry.attributes.get("log.file.path")
    if not isinstance(path, str):
        raise ValueError(  # noqa: TRY004 - one error for all values
            "operator 'container' has add_metadata_from_filepath enabled, but the log record attribute "
            "'log.file.path' is missing. Perhaps enable the 'include_file_path' option?"
        )
    # The resource may be shared between entries, so that it must not be changed in place.
    entry.resource = entry.resource | paths(path)


@lru_cache(maxsize=1024)
def _metadata(path: str) -> dict[str, str]:
    match = compile_pattern(_PATH).search(path.encode(errors="replace"))
    if match is None:
        raise ValueError("failed to detect a valid log path")
    return {name: value.decode(errors="replace") for name, value in zip(_RESOURCE, match.groups(), strict=True)}
