"""`probabilistic_sampler`: its settings, the decisions that the Collector publishes, its counts and the ledger."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sluiceway.component import Reason
from sluiceway.otlp import Batch, Signal
from sluiceway.pipelines.edits import Edits
from sluiceway.processors.probabilistic_sampler import COMPONENT
from tests.processors.samples import Bench, edit, logs, problems

HALF = "fefefefefefefefefe80000000000000"
"""A trace id that is kept at 50 % and not at 49 %."""
ALWAYS = "f" * 32


def sampled(settings: str, trace_id: str, state: str) -> str | None:
    """The tracestate of a span after the processor; None where it is dropped."""
    data = TracesData()
    scope = data.resource_spans.add().scope_spans.add()
    scope.spans.add(trace_id=bytes.fromhex(trace_id), trace_state=state)
    result: Any = edit(Bench().make(COMPONENT, settings), Batch.from_proto(data))
    return result.proto().resource_spans[0].scope_spans[0].spans[0].trace_state if result.items else None


@pytest.mark.parametrize(
    ("percentage", "precision", "trace_id", "state", "equalizing", "proportional"),
    [
        (100, 4, HALF, "", "ot=th:0", "ot=th:0"),
        (200, 4, HALF, "", "ot=th:0", "ot=th:0"),
        (50, 4, HALF, "", "ot=th:8", "ot=th:8"),
        (49, 4, HALF, "", None, None),
        (25, 4, "dddddddddddddddddd" + "c" + "0" * 13, "", "ot=th:c", "ot=th:c"),
        (25, 4, "dddddddddddddddddd" + "b" + "0" * 13, "", None, None),
        (1, 14, HALF, "ot=rv:FD70A3D70A3D71", *["ot=rv:FD70A3D70A3D71;th:fd70a3d70a3d71"] * 2),
        (1, 14, HALF, "ot=rv:FD70A3D70A3D70", None, None),
        (1, 4, HALF, "ot=rv:FD70A3D70A3D71", *["ot=rv:FD70A3D70A3D71;th:fd70a"] * 2),
        (1, 3, HALF, "ot=rv:FD70A3D70A3D71", None, None),
        (50, 4, HALF, "ot=rv:90000000000000;th:80000000000000", "ot=rv:90000000000000;th:8", None),
        (25, 4, ALWAYS, "ot=th:8", "ot=th:c", "ot=th:e"),
        (40, 6, "a" * 18 + "d" + "0" * 13, "ot=th:8", "ot=th:99999a", "ot=th:cccccd"),
        (100 * 2.0**-14, 4, ALWAYS, "ot=th:fffc", "ot=th:fffc", "ot=th:fffffff"),
        ((1 - 8e-7) * 100, 10, ALWAYS, "", *["ot=th:00000cccccccd"] * 2),
        (6.25, 4, ALWAYS, "ot=th:fffffffffffff8", "ot=th:fffffffffffff8", None),
        (100, 4, HALF, "ot=th:-1", None, None),
        (100, 4, "0" * 32, "", None, None),
        (100, 4, HALF, "a=b,ot=x:y", *["ot=th:0;x:y,a=b"] * 2),
    ],
)  # fmt: skip
def test_the_collectors_published_decisions(
    percentage: float, precision: int, trace_id: str, state: str, equalizing: str | None, proportional: str | None
) -> None:
    """To the digit, in both consistent modes."""
    for mode, expected in (("equalizing", equalizing), ("proportional", proportional)):
        settings = f"{{sampling_percentage: {percentage!r}, sampling_precision: {precision}, mode: {mode}}}"
        assert sampled(settings, trace_id, state) == expected, mode


@pytest.mark.parametrize(
    ("percentage", "threshold"), [(100, "0"), (75, "4"), (50, "8"), (25, "c"), (10, "e668"), (100 / 3, "aaac")]
)
def test_hash_seed_marks_what_it_keeps(percentage: float, threshold: str) -> None:
    """With a threshold of 14 bits and the randomness that the hash gave."""
    settings = f"{{sampling_percentage: {percentage!r}, hash_seed: 4312}}"
    random = Random(3)
    states = [sampled(settings, random.randbytes(16).hex(), "") for _ in range(60)]
    kept = [state for state in states if state is not None]
    assert kept
    assert {state.partition(";")[2] for state in kept} == {f"th:{threshold}"}
    assert all(int(state[6:20], 16) >= int(threshold.ljust(14, "0"), 16) for state in kept)


def test_the_hash_is_the_collectors() -> None:
    """Of sixteen zero bytes, as an attribute of a record, its lower 14 bits are 0x2455 with seed zero."""
    bench = Bench(signals=frozenset({Signal.LOGS}))
    settings = "{sampling_percentage: 100, attribute_source: record, from_attribute: id}"
    message: Any = logs("x").proto()
    record = message.resource_logs[0].scope_logs[0].log_records[0]
    record.attributes.add(key="id").value.bytes_value = bytes(16)
    result: Any = edit(bench.make(COMPONENT, settings), Batch.from_proto(message))
    found = {
        kv.key: kv.value.string_value
        for kv in result.proto().resource_logs[0].scope_logs[0].log_records[0].attributes
        if kv.value.string_value
    }
    assert found["sampling.threshold"] == "0"
    assert int(found["sampling.randomness"], 16) & 0x3FFF == 0x2455
    assert int(found["sampling.randomness"], 16) >> 42 == 0x3FFF - 0x2455


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("sampling_percentage: -1", "sampling rate is negative: -1%"),
        ("sampling_percentage: .inf", "Input should be a finite number"),
        ("sampling_percentage: 1.0e-16", "sampling rate is too small: 1e-16%"),
        ("sampling_precision: 0", "invalid sampling precision: 0"),
        ("sampling_precision: 15", "sampling precision is too great, should be <= 14: 15"),
        ("mode: dunno", "Input should be '', 'hash_seed', 'equalizing' or 'proportional'"),
        ("attribute_source: body", "Input should be 'traceID' or 'record'"),
        ("hash_seed: -1", "greater than or equal to 0"),
    ],
)
def test_a_wrong_setting_is_named(settings: str, message: str) -> None:
    """In the Collector's words where it has some."""
    assert message in problems(COMPONENT, settings)


async def test_drops_are_counted_by_policy_and_in_the_ledger() -> None:
    """What was kept and what was not, by where the randomness came from."""
    bench = Bench()
    data = TracesData()
    scope = data.resource_spans.add().scope_spans.add()
    for trace_id in (HALF, ALWAYS, "0" * 32):
        scope.spans.add(trace_id=bytes.fromhex(trace_id))
    edits = Edits([bench.make(COMPONENT, "{sampling_percentage: 49, mode: equalizing}")], bench.sink)
    for _ in range(2):
        await edits.consume(Batch.from_proto(data))
    assert bench.drops == [(2, Reason.SAMPLED, True)] * 2
    name = "otelcol_processor_probabilistic_sampler_count_traces_sampled"
    assert bench.metrics.read(name, policy="trace_id_w3c", sampled="true") == 2
    assert bench.metrics.read(name, policy="trace_id_w3c", sampled="false") == 2
    assert bench.metrics.read(name, policy="missing_randomness", sampled="false") == 2
