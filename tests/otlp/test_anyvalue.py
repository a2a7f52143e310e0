"""Values of attributes: to bytes and back as protobuf has it, and nothing that OTLP cannot hold."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from sluiceway.otlp.plan import decode_value, encode_value
from tests.otlp import random_plans
from tests.otlp.strategies import checked, field

SCALARS = st.one_of(
    st.text(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.binary(max_size=200)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)


def plain(value):
    """A protobuf `AnyValue` as a Python value."""
    match value.WhichOneof("value"):
        case "array_value":
            return [plain(item) for item in value.array_value.values]
        case "kvlist_value":
            return {kv.key: plain(kv.value) for kv in value.kvlist_value.values}
        case None | "string_value_strindex":
            return None
        case kind:
            return getattr(value, kind)


@checked
@given(VALUES)
def test_what_is_encoded_is_what_protobuf_reads(value):
    """And decoding gives the value back."""
    content = encode_value(value)
    assert plain(AnyValue.FromString(content)) == value
    assert decode_value(content) == value


@checked
@given(st.integers(0, 2**32))
def test_decoding_agrees_with_protobuf_on_any_encoding(seed):
    """Unknown fields, repeated members and pieces of arrays and maps included."""
    content = random_plans.any_value(Random(seed), 3)
    assert repr(decode_value(content)) == repr(plain(AnyValue.FromString(content)))


def test_an_empty_value_is_none():
    """As is one of a kind that is not known; inside an array None is encoded as such."""
    assert decode_value(b"") is None
    assert decode_value(field(8, 0, b"\x05")) is None
    assert decode_value(encode_value([None, 1])) == [None, 1]


def nested(depth):
    """Arrays in each other."""
    return [nested(depth - 1)] if depth else []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2**63, "does not fit into 64 bits"),
        (-(2**63) - 1, "does not fit into 64 bits"),
        (math.nan, "NaN"),
        ("a\ud800", "lone surrogate"),
        ({"\udfff": 1}, "lone surrogate"),
        ({1: 2}, "a key must be a string, not int"),
        (nested(40), "nested deeper than 32"),
        ([math.nan], "NaN"),
        (None, "type NoneType"),
        (object(), "type object"),
    ],
)
def test_what_otlp_cannot_hold_is_refused(value, text):
    """The error says what is wrong with the value."""
    with pytest.raises(ValueError, match=text):
        encode_value(value)


@pytest.mark.parametrize(
    "content",
    [b"\x0a", b"\x0a\x05abc", b"\x18", b"\x18" + b"\xff" * 11, b"\x21abc", b"\x0f", b"\x9b\x06\x0a", b"\x0b\x0f"],
)
def test_bytes_that_are_no_message_are_refused(content):
    """Cut off, too long or of an unknown wire type."""
    with pytest.raises(ValueError, match="AnyValue"):
        decode_value(content)


def test_groups_of_unknown_fields_are_skipped():
    """Nested ones with fields of every wire type."""
    inner = field(1, 0, b"\x05") + field(2, 1, b"12345678") + field(3, 2, b"abc") + field(4, 5, b"1234")
    group = field(90, 3, inner + field(91, 3, field(91, 4, b"")) + field(90, 4, b""))
    assert decode_value(group + encode_value(5) + group) == 5
