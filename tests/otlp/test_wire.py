"""The door: what is let in, what is refused and why, what is counted, what is repaired."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given

from sluiceway.errors import DecodeError, TooLargeError
from sluiceway.otlp import Signal, _wire, repaired_texts
from tests.otlp.oracle import items_in, repaired, verdict
from tests.otlp.strategies import OFFICIAL, checked, field, payload, payloads, varint

ANY = 2**40


def accept(signal: Signal, raw: bytes, items: int = ANY, messages: int = ANY, entries: int = ANY) -> tuple[bytes, int]:
    """The kernel's own function, with limits that are never reached."""
    return _wire.accept(signal.code, raw, items, messages, entries)


def agrees(signal: Signal, raw: bytes) -> bool:
    """Whether the kernel and the official parser say the same of these bytes."""
    expected = verdict(signal, raw)
    try:
        accepted, items = accept(signal, raw)
    except DecodeError:
        return expected is None
    if expected is None or items != items_in(expected):
        return False
    OFFICIAL[signal].FromString(accepted)
    return type(expected).FromString(accepted) == repaired(expected)


def span(*fields: bytes) -> bytes:
    """A request of one span; by its shape also of one metric or log record."""
    return field(1, 2, field(2, 2, field(2, 2, b"".join(fields))))


def attribute(value: bytes) -> bytes:
    """A request of one span with one attribute."""
    return span(field(9, 2, field(1, 2, b"key") + field(2, 2, value)))


@checked
@given(payloads())
def test_sound_bytes_come_back_as_the_same_object_with_their_items(wire):
    """Nothing is copied where nothing has to be repaired."""
    signal, raw = wire
    accepted, items = accept(signal, raw)
    assert accepted is raw
    assert items == items_in(OFFICIAL[signal].FromString(raw))


@checked
@given(payloads(broken_text=True))
def test_broken_text_is_repaired_as_python_would(wire):
    """Every text becomes UTF-8, with U+FFFD for each maximal subpart, and nothing else changes."""
    assert agrees(*wire)


@pytest.mark.parametrize("signal", Signal)
@pytest.mark.parametrize("seed", range(3))
def test_truncation_at_every_byte_agrees_with_the_official_parser(signal, seed):
    """A request cut off anywhere is refused exactly where the official parser refuses it."""
    raw = payload(Random(seed), signal, broken_text=seed == 2)[:1200]
    assert [n for n in range(len(raw)) if not agrees(signal, raw[:n])] == []


@pytest.mark.parametrize("signal", Signal)
def test_every_flipped_bit_agrees_with_the_official_parser(signal):
    """A request with any one bit wrong is refused exactly where the official parser refuses it."""
    raw = payload(Random(5), signal)[:400]
    flipped = (raw[:n] + bytes([raw[n] ^ 1 << bit]) + raw[n + 1 :] for n in range(len(raw)) for bit in range(8))
    assert [wrong for wrong in flipped if not agrees(signal, wrong)] == []


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"\x00\x01", id="field number 0"),
        pytest.param(b"\x80\x00\x01", id="field number 0, longer than needed"),
        pytest.param(span(b"\x9b\x06\x00\x01\x9c\x06"), id="field number 0 in a group"),
        pytest.param(span(b"\xfe\x06\x00"), id="wire type 6"),
        pytest.param(span(varint(99 << 3) + b"\xff" * 10 + b"\x01"), id="varint of eleven bytes"),
        pytest.param(span(b"\xb0\x80\x80\x80\x80\x00\x01"), id="tag of six bytes"),
        pytest.param(span(b"\xf8\xff\xff\xff\x10\x01"), id="field number of thirty bits"),
        pytest.param(span(b"\x2a\x81\x80\x80\x80\x80\x00a"), id="length of six bytes"),
        pytest.param(b"\x0a\x03\x12\x05\x00", id="longer than its parent"),
        pytest.param(span(field(99, 3, b"")), id="group without an end"),
        pytest.param(span(field(99, 4, b"")), id="end of no group"),
        pytest.param(span(field(99, 3, field(98, 4, b""))), id="end of another group"),
    ],
)
def test_what_is_no_protobuf_is_refused(raw):
    """The text of the error is fixed and tells nothing of the data."""
    assert verdict(Signal.TRACES, raw) is None
    with pytest.raises(DecodeError, match=r"^not a protobuf message$"):
        accept(Signal.TRACES, raw)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(span(varint(99 << 3) + b"\xff" * 9 + b"\x7f"), id="varint with bits to spare"),
        pytest.param(span(b"\xb0\x80\x80\x80\x00\x01"), id="tag of five bytes"),
        pytest.param(span(b"\x2a\x81\x80\x80\x80\x00a"), id="length of five bytes"),
        pytest.param(span(field(99, 3, b"") * 97 + field(99, 4, b"") * 97), id="groups nested 100 deep"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_odd_but_legal_protobuf_is_let_in(raw):
    """What the official parser takes is taken, unknown fields as they are."""
    assert verdict(Signal.TRACES, raw) is not None
    assert accept(Signal.TRACES, raw)[0] is raw


@pytest.mark.parametrize("wire", [0, 1, 5])
def test_a_known_field_of_the_wrong_wire_type_is_refused(wire):
    """Protobuf would call it unknown, but collectors refuse the whole request, so it must not be joined with others."""
    content = {0: b"\x01", 1: bytes(8), 5: bytes(4)}[wire]
    with pytest.raises(DecodeError, match=r"^a field has the wrong wire type$"):
        accept(Signal.TRACES, span(field(5, wire, content)))


@pytest.mark.parametrize(("number", "sizes"), [(1, {0, 16}), (2, {0, 8}), (4, {0, 8})])
def test_ids_have_their_length_or_none(number, sizes):
    """A trace id has 16 bytes, a span id 8, and either may be empty."""

    def is_taken(size: int) -> bool:
        try:
            accept(Signal.TRACES, span(field(number, 2, bytes(size))))
        except DecodeError:
            return False
        return True

    assert {size for size in range(20) if is_taken(size)} == sizes


def test_nesting_ends_where_the_official_parser_ends_it():
    """A hundred messages inside the outermost one are taken, one more is refused."""
    depths = []
    for arrays in range(40, 55):
        value = b""
        for _ in range(arrays):
            value = field(5, 2, field(1, 2, value))
        raw = attribute(value)
        assert agrees(Signal.TRACES, raw)
        depths.append(verdict(Signal.TRACES, raw) is not None)
    assert depths[0]
    assert not depths[-1]


def test_groups_count_as_nesting():
    """An unknown group at the hundredth level is taken, deeper it is refused."""
    for depth in range(95, 100):
        assert agrees(Signal.TRACES, span(field(99, 3, b"") * depth + field(99, 4, b"") * depth))


@pytest.mark.parametrize(
    ("members", "points"),
    [((5, 7), 1), ((5, 5), 4), ((7, 5), 1), ((5, 7, 5), 3), ((5, 7, 7), 2), ((9, 11), 3)],
)
def test_of_two_kinds_of_data_in_one_metric_the_last_counts(members, points):
    """A repeated member adds up, another one takes the place of what was there before."""
    counts = {5: [1, 3], 7: [1, 1], 9: [2, 2], 11: [3, 3]}
    parts = [field(n, 2, field(1, 2, b"") * counts[n][members[:i].count(n)]) for i, n in enumerate(members)]
    raw = span(*parts)
    assert accept(Signal.METRICS, raw)[1] == points == items_in(verdict(Signal.METRICS, raw))


def test_an_item_too_many_is_refused_as_too_large():
    """The limit itself is allowed."""
    raw = field(1, 2, field(2, 2, field(2, 2, b"") * 10))
    assert accept(Signal.LOGS, raw, items=10)[1] == 10
    with pytest.raises(TooLargeError, match=r"^too many items in one request$"):
        accept(Signal.LOGS, raw, items=9)


def test_a_nested_message_too_many_is_refused_as_too_large():
    """Resource entry, scope, span, attribute and value count one each."""
    raw = span(field(9, 2, field(1, 2, b"key") + field(2, 2, field(1, 2, b"value"))) * 10)
    assert accept(Signal.TRACES, raw, messages=23)[1] == 1
    with pytest.raises(TooLargeError, match=r"^too many nested messages in one request$"):
        accept(Signal.TRACES, raw, messages=22)


def test_repeated_texts_count_as_messages():
    """An empty one takes two bytes on the wire and many more wherever it is unpacked."""
    raw = field(1, 2, field(1, 2, field(3, 2, field(3, 2, b"") * 10)))
    accept(Signal.TRACES, raw, messages=13)
    with pytest.raises(TooLargeError, match=r"^too many nested messages in one request$"):
        accept(Signal.TRACES, raw, messages=12)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(field(1, 2, b"") * 5, id="resource entries"),
        pytest.param(field(1, 2, field(1, 2, field(1, 2, b"") * 5)), id="attributes of a resource, empty"),
        pytest.param(span(field(9, 2, field(1, 2, b"key") + field(2, 2, field(1, 2, b"v"))) * 5), id="attributes"),
        pytest.param(attribute(field(6, 2, field(1, 2, b"") * 5)), id="a map"),
    ],
)
def test_an_entry_too_many_is_refused_as_too_large(raw):
    """Resource entries are counted together, attributes for each message alone."""
    accept(Signal.TRACES, raw, entries=5)
    accept(Signal.TRACES, span(field(9, 2, b"")) * 5, entries=5)
    with pytest.raises(TooLargeError, match=r"^too many resources in one request or attributes in one message$"):
        accept(Signal.TRACES, raw, entries=4)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_taken_and_bytes_come_back(kind):
    """A receiver may hand over what it read into."""
    raw = span(field(5, 2, b"name"))
    accepted, items = accept(Signal.TRACES, kind(raw))
    assert type(accepted) is bytes
    assert (accepted, items) == (raw, 1)


def test_what_is_no_buffer_is_a_mistake_of_the_caller():
    """An integer is not taken for so many zero bytes."""
    with pytest.raises(TypeError):
        accept(Signal.TRACES, 5)
    with pytest.raises(ValueError, match="no such signal"):
        _wire.accept(3, b"", 1, 1, 1)


def test_repairs_are_counted():
    """Each text counts once, however much of it is broken."""
    before = repaired_texts()
    accept(Signal.TRACES, span(field(5, 2, b"\xff\xff"), field(3, 2, b"\xff"), field(5, 2, b"fine")))
    assert repaired_texts() - before == 2


def test_a_repair_that_grows_a_message_grows_the_lengths_around_it():
    """120 bytes become 360, so that every length above needs a byte more."""
    accepted, _ = accept(Signal.TRACES, span(field(5, 2, b"\xff" * 120)))
    parsed = OFFICIAL[Signal.TRACES].FromString(accepted)
    assert parsed.resource_spans[0].scope_spans[0].spans[0].name == "\ufffd" * 120


def test_a_large_message_is_walked_and_repaired_without_the_interpreter():
    """Above 64 KiB other threads run meanwhile; the outcome is the same."""
    raw = span(field(5, 2, b"name \xe2\x82")) * 5_000
    accepted, items = accept(Signal.TRACES, raw)
    assert items == 5_000
    assert accepted == span(field(5, 2, "name \ufffd".encode())) * 5_000
