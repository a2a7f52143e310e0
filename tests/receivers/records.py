"""Log records as Python values."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sluiceway.otlp import Batch

PATIENCE = 20.0


async def until(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in other processes
            await asyncio.sleep(0.02)


def records(batches: Iterable[Batch]) -> Iterator[Any]:
    """The log records, as protobuf has them."""
    for batch in batches:
        for resource in batch.proto().resource_logs:  # type: ignore[attr-defined]
            for scope in resource.scope_logs:
                yield from scope.log_records


def bodies(batches: Iterable[Batch]) -> list[Any]:
    """The bodies of the log records."""
    return [value(record.body) for record in records(batches)]


def attributes(record: Any) -> dict[str, Any]:
    """The attributes of a record."""
    return {entry.key: value(entry.value) for entry in record.attributes}


def value(any_value: Any) -> Any:
    """What an `AnyValue` holds."""
    match any_value.WhichOneof("value"):
        case None:
            return None
        case "kvlist_value":
            return {entry.key: value(entry.value) for entry in any_value.kvlist_value.values}
        case "array_value":
            return [value(entry) for entry in any_value.array_value.values]
        case kind:
            return getattr(any_value, kind)
