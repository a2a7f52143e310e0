"""Text forms, digests and conversions of values are those of the Collector."""

from __future__ import annotations

import hashlib
import math
import struct
import time

import pytest

from sluiceway.otlp.plan import decode_value, encode_value
from sluiceway.otlp.rewriting import conversion, digest, match_text, value_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("ü<", "ü<"),
        (True, "true"),
        (-5, "-5"),
        (1.0, "1"),
        (-0.0, "-0"),
        (0.1, "0.1"),
        (123456789012345680.0, "123456789012345680"),
        (1e21, "1e+21"),
        (1.5e-7, "1.5e-7"),
        (1e-6, "0.000001"),
        (5e-324, "5e-324"),
        (math.inf, "json: unsupported value: +Inf"),
        (-math.inf, "json: unsupported value: -Inf"),
        (math.nan, "json: unsupported value: NaN"),
        (b"\x00\xff", "AP8="),
        ([1, "a", None, [True], 2.5], '[1,"a",null,[true],2.5]'),
        ({"b": 1, "a": {"c": b"\x00\xff"}}, '{"a":{"c":"AP8="},"b":1}'),
        ({"k": 'quote " \\ \n\x01\u2028ü'}, '{"k":"quote \\" \\\\ \\n\\u0001\\u2028ü"}'),
        ([math.inf], ""),
        ({"a": [math.nan]}, ""),
    ],
)
def test_the_text_of_a_value(value, text):
    """Go's JSON with sorted keys, numbers as ECMAScript writes them, base64 for bytes."""
    assert value_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", b"a"), (True, b"true"), (7, b"7"), (1e21, b"1" + b"0" * 21), (1e-7, b"0.0000001"), (-math.inf, b"-Inf"),
     (math.inf, b"+Inf"), (b"x", None), ([1], None)],
)  # fmt: skip
def test_what_patterns_are_held_against(value, text):
    """Numbers without an exponent; kinds without a text match nothing."""
    assert match_text(encode_value(value)) == text


def test_a_conversion_costs_what_the_length_of_a_text_says() -> None:
    """A mebibyte of digits that are no number is read once."""
    start = time.thread_time()
    assert conversion("double")(encode_value("0x" + "a" * 2**20)) is None
    assert time.thread_time() - start < 1


@pytest.mark.parametrize(
    ("to", "value", "result"),
    [
        ("int", "12", 12),
        ("int", "+12", 12),
        ("int", "-9223372036854775808", -(2**63)),
        ("int", "9223372036854775808", None),
        ("int", "1_000", None),
        ("int", " 1", None),
        ("int", "1.5", None),
        ("int", "", None),
        ("int", "٣", None),
        ("int", -1.9, -1),
        ("int", 1e19, None),
        ("int", math.inf, None),
        ("int", True, 1),
        ("int", False, 0),
        ("int", 5, None),
        ("int", [1], None),
        ("double", "1.5", 1.5),
        ("double", ".5e1", 5.0),
        ("double", "1_000.5", 1000.5),
        ("double", "1__0", None),
        ("double", "0x1.8p1", 3.0),
        ("double", "0x10", None),
        ("double", "0x1p99999999999", None),
        ("double", "1e400", None),
        ("double", "-Infinity", -math.inf),
        ("double", "+nan", None),
        ("double", "abc", None),
        ("double", 2**62, 2.0**62),
        ("double", True, 1.0),
        ("double", 1.0, None),
        ("double", b"1", None),
        ("string", 200, "200"),
        ("string", 1.0, "1"),
        ("string", False, "false"),
        ("string", [1, {"a": 2}], '[1,{"a":2}]'),
        ("string", "x", None),
    ],
)
def test_conversions(to, value, result):
    """As Go's strconv reads and writes; None where the value stays."""
    answer = conversion(to)(encode_value(value))
    converted = None if answer is None else decode_value(answer)
    assert (type(converted), converted) == (type(result), result)


@pytest.mark.parametrize(
    ("value", "hashed"),
    [
        ("ann", b"ann"),
        (b"\x00\xff", b"\x00\xff"),
        (True, b"\x01"),
        (False, b"\x00"),
        (-2, struct.pack("<q", -2)),
        (2.5, struct.pack("<d", 2.5)),
        (["a", 1], b'["a",1]'),
    ],
)
def test_what_of_a_value_is_hashed(value, hashed):
    """Numbers as eight bytes, least significant first."""
    answer = digest("sha256")(encode_value(value))
    assert decode_value(answer) == hashlib.sha256(hashed).hexdigest()


def test_an_empty_string_stays_empty():
    """The digest of nothing would look like a value."""
    assert decode_value(digest("sha1")(encode_value(""))) == ""


def test_not_a_number_is_converted_from_its_name():
    """The one value that does not equal itself."""
    answer = conversion("double")(encode_value("NaN"))
    assert answer is not None
    assert math.isnan(decode_value(answer))
