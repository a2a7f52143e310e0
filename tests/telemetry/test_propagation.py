"""How spans are named in headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import SpanContext, TraceFlags

from sluiceway.telemetry.propagation import B3, TraceContext, formats

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def identity(span: SpanContext | None) -> tuple[str, str, bool] | None:
    """What a format read, as text."""
    return span and (f"{span.trace_id:032x}", f"{span.span_id:016x}", span.trace_flags.sampled)


@pytest.mark.parametrize(
    ("headers", "sampled"),
    [
        ({"b3": f"{TRACE}-{SPAN}-1"}, True),
        ({"b3": f"{TRACE}-{SPAN}-d"}, True),
        ({"b3": f"{TRACE}-{SPAN}-0-05e3ac9a4f6e3b90"}, False),
        ({"b3": f"{TRACE.upper()}-{SPAN}"}, False),
        ({"x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-sampled": "1"}, True),
        ({"x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-sampled": "true"}, True),
        ({"x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-flags": "1"}, True),
        ({"x-b3-traceid": TRACE, "x-b3-spanid": SPAN}, False),
    ],
)
def test_b3_is_read_in_all_its_spellings(headers: dict[str, str], sampled: bool) -> None:
    """One header or several, debug or not."""
    assert identity(B3().read(headers.get)) == (TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "value", ["", "0", "x", f"{TRACE}-{SPAN}-2", f"{'0' * 32}-{SPAN}-1", f"{TRACE}-{'0' * 16}", f"{TRACE}-{SPAN}-1\n"]
)
def test_b3_that_makes_no_sense_is_absent(value: str) -> None:
    """A sender cannot make an invalid span our parent."""
    assert B3().read({"b3": value}.get) is None


def test_b3_knows_short_trace_ids() -> None:
    """Eight bytes are a trace id with zeros in front."""
    assert identity(B3().read({"b3": f"{SPAN}-{SPAN}-1"}.get)) == (SPAN.rjust(32, "0"), SPAN, True)


@pytest.mark.parametrize("format", formats(["tracecontext", "b3"]))
@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_what_is_written_is_read_again(format: TraceContext | B3, trace: int, span: int, sampled: bool) -> None:
    """Every span, by every format."""
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    written = SpanContext(trace, span, is_remote=False, trace_flags=flags)
    assert identity(format.read(format.write(written).get)) == identity(written)


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_is_harmless(parent: str, state: str) -> None:
    """A hostile header is no span, or one that can be written again."""
    for format in formats(["tracecontext", "b3"]):
        span = format.read({"traceparent": parent, "tracestate": state, "b3": parent}.get)
        assert span is None or format.write(span)
