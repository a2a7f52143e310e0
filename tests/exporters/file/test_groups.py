"""A file for each value of an attribute: whatever a sender writes, files stay where the operator put them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.component import PartialSuccess
from sluiceway.errors import RetryableError
from sluiceway.exporters.file.segments import Segments
from sluiceway.otlp import Batch, Signal, join
from sluiceway.service import Collector
from sluiceway.testing import items
from tests.exporters.file.writing import exporter, files, lines, messages

HOSTILE = [
    "..", ".", "", "/", "//", "../../etc/passwd", "/etc/passwd", "a/b", "a\0b", "\0", "..\\..", "~", "a" * 10_000,
    "é" * 200, ".hidden", "a\nb", "*", "%2e%2e%2f", "\u202e", "con", " ", "-rf", "\U0001f600" * 100,
]  # fmt: skip


def group(folder: Path, more: str = "") -> str:
    """Settings with a file for each service."""
    enabled = f"enabled: true, resource_attribute: service.name{more}"
    return f"path: '{folder}/in/x-*.json', group_by: {{{enabled}}}"


async def test_each_value_has_a_file(tmp_path: Path) -> None:
    """A batch is parted by resource, and each part keeps its order."""
    cart, pay = items(Signal.TRACES, 2, service="cart"), items(Signal.TRACES, 3, service="pay")
    async with exporter(group(tmp_path)) as file:
        assert await file.consume(join([cart, pay, cart])) is None
    assert [batch.items for batch in lines(tmp_path / "in/x-cart.json")] == [4]
    assert [batch.payload for batch in lines(tmp_path / "in/x-pay.json")] == [pay.payload]


async def test_no_value_leads_out_of_the_folder(tmp_path: Path) -> None:
    """Every hostile value has a file of its own in the folder, with all its items."""
    async with exporter(group(tmp_path)) as file:
        for count, value in enumerate(HOSTILE, 1):
            await file.consume(items(Signal.TRACES, count, service=value))
    assert [found.name for found in files(tmp_path)] == ["in"]
    found = files(tmp_path / "in")
    assert len(found) == len(HOSTILE)
    assert sorted(batch.items for file in found for batch in lines(file)) == list(range(1, len(HOSTILE) + 1))


@pytest.mark.parametrize("pattern", ["/data/*.json", "/data/*", "/data/x-*/y.json", "/data/.*"])
@given(value=st.text())
def test_every_value_is_a_name(pattern: str, value: str) -> None:
    """One part of a path, that a file system takes, and never one of a folder."""
    path = Segments(pattern, "a").path(value)
    before, after = pattern.split("*")
    assert os.path.normpath(path) == path
    assert path.startswith(before)
    assert path.endswith(after)
    assert path.count("/") == pattern.count("/")
    assert all(0 < len(part.encode()) <= 255 and part not in (".", "..") for part in path.split("/")[1:])


@given(st.sets(st.text(alphabet="a./\\\0_\n", max_size=6), min_size=2))
def test_two_values_are_two_files(values: set[str]) -> None:
    """However alike they become."""
    segments = Segments("/data/*", "a")
    assert len({segments.path(value) for value in values}) == len(values)


async def test_what_has_no_such_text_is_rejected_and_told(tmp_path: Path) -> None:
    """With the items that it is about; the others are written."""
    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

    bare = TracesData.FromString(items(Signal.TRACES, 3).payload)
    bare.resource_spans[0].resource.attributes[0].value.int_value = 7
    without = Batch.from_proto(bare)
    async with exporter(group(tmp_path)) as file:
        answer = await file.consume(join([without, items(Signal.TRACES, 2)]))
    text = "no text in the resource attribute service.name, so no file"
    assert answer == PartialSuccess(3, text, answer.batch)
    assert answer.batch.payload == without.payload
    assert [batch.items for batch in lines(tmp_path / "in/x-cart.json")] == [2]


async def test_a_file_that_was_closed_goes_on(tmp_path: Path) -> None:
    """With more values than `max_open_files`; what an earlier run left behind is thrown away, once."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/x-a.json").write_text("old\n")
    (tmp_path / "in/x-z.json").write_text("old, and no longer written to\n")
    async with exporter(group(tmp_path, ", max_open_files: 2")) as file:
        for _ in range(3):
            for service in "abcd":
                await file.consume(items(Signal.TRACES, service=service))
    assert [len(lines(tmp_path / f"in/x-{service}.json")) for service in "abcd"] == [3, 3, 3, 3]


async def test_a_batch_is_in_all_its_files_or_in_none(tmp_path: Path) -> None:
    """When one of them cannot be written nothing of it stays in the others; other batches are not held up."""
    (tmp_path / "in/x-bad.json").mkdir(parents=True)
    good, bad = items(Signal.TRACES, 2, service="good"), items(Signal.TRACES, 3, service="bad")
    async with exporter(group(tmp_path) + ", format: proto") as file:
        results = await asyncio.gather(
            file.consume(good), file.consume(join([good, bad])), file.consume(good), return_exceptions=True
        )
        assert [type(result) for result in results] == [type(None), RetryableError, type(None)]
        assert "bad" not in str(results[1])
        (tmp_path / "in/x-bad.json").rmdir()
        await file.consume(join([good, bad]))
    assert len(list(messages(tmp_path / "in/x-good.json"))) == 3
    assert list(messages(tmp_path / "in/x-bad.json")) == [bad.payload]


async def test_rejected_items_are_counted(tmp_path: Path) -> None:
    """In a collector: accepted = delivered + dropped + held."""
    text = f"""
    receivers: {{feed: {{component: sluiceway.testing:Feeder}}}}
    exporters: {{file: {{path: '{tmp_path}/*.json', group_by: {{enabled: true}}}}}}
    service:
      telemetry: {{metrics: {{level: none}}}}
      pipelines: {{traces: {{receivers: [feed], exporters: [file]}}}}
    """
    async with Collector.from_yaml(text) as collector:
        await collector.component("receiver", "feed").feed(items(Signal.TRACES, 5))
        (pipeline,) = collector.ledger.pipelines.values()
        assert pipeline.account("file").dropped.total() == 5
