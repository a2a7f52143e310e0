"""`redaction` on bytes does what the oracle does on protobuf objects, and leaves nothing that was to be hidden."""

from __future__ import annotations

import struct
from random import Random
from typing import Any

import pytest
import yaml
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.otlp import Batch, Signal
from sluiceway.processors.redaction import COMPONENT
from tests.otlp import random_plans
from tests.otlp.strategies import OFFICIAL, checked, field, payloads, varint
from tests.processors.redaction.naive_redaction import Redaction
from tests.processors.samples import Bench, edit

SEEDS = st.integers(0, 2**32)
KEYS = ["a", "b", "service.name", "user.id", "http.method", "k"]
KEY_PATTERNS = ["^user", "name$", "a", "^$", "[.]"]
VALUE_PATTERNS = ["[0-9]+", "a", "GET|POST", ".*", "x{3,}", "e$", "日", "(?i)SERVICE", "t", "q+"]


def random_settings(random: Random) -> dict[str, Any]:
    """Any settings that do not need the Collector's libraries."""

    def some(choices: list[str]) -> list[str]:
        return random.sample(choices, random.randint(0, 3))

    return {
        "allow_all_keys": random.random() < 0.5,
        "allowed_keys": some(KEYS),
        "ignored_keys": some(KEYS)[:1],
        "ignored_key_patterns": some(KEY_PATTERNS)[:1],
        "blocked_key_patterns": some(KEY_PATTERNS)[:2],
        "redact_all_types": random.random() < 0.5,
        "blocked_values": some(VALUE_PATTERNS),
        "allowed_values": some(VALUE_PATTERNS)[:1],
        "summary": random.choice(["", "silent", "info", "debug"]),
    }


def parsed(batch: Batch) -> bytes:
    """What the bytes mean, in a form in which NaN equals itself."""
    return batch.proto().SerializeToString(deterministic=True)


def check(batch: Batch, settings: dict[str, Any]) -> None:
    """Hold the processor against the oracle."""
    message = batch.proto()
    for entry in getattr(message, message.DESCRIPTOR.fields[0].name):
        Redaction(**settings).entry(batch.signal, entry)
    redacted = edit(Bench().make(COMPONENT, yaml.safe_dump(settings)), batch)
    assert redacted is not None
    assert parsed(redacted) == message.SerializeToString(deterministic=True), settings


@checked
@given(payloads(), SEEDS)
def test_any_batch_is_redacted_as_the_oracle_does_it(wire: tuple[Signal, bytes], seed: int) -> None:
    """With every field, in any encoding."""
    check(Batch(*wire, 1), random_settings(Random(seed)))


@checked
@given(SEEDS)
def test_attributes_of_all_kinds_are_redacted_as_the_oracle_does_it(seed: int) -> None:
    """Keys and values that the settings are about, nested and in pieces."""
    random = Random(seed)
    check(random_plans.batch(random), random_settings(random))


# ---- canaries

CARD = "4111111111111111"
NUMBER = int(CARD)
HIDDEN = [CARD.encode(), varint(NUMBER), struct.pack("<d", float(NUMBER)), b"NDExMTExMTExMTExMTEx"]
"""The canary as text, as an integer, as a double, and as bytes in base64."""
SETTINGS = """
allow_all_keys: true
redact_all_types: true
summary: debug
blocked_values: ['4[0-9]{15}', 'NDExMTEx[A-Za-z0-9]+']
"""


def fill(message: Message, random: Random, depth: int = 0) -> Message:
    """Put the canary into every field that can hold it."""
    for wanted in message.DESCRIPTOR.fields:
        if wanted.containing_oneof is not None and message.DESCRIPTOR.name == "AnyValue":
            continue
        if wanted.type == FieldDescriptor.TYPE_STRING:
            if wanted.is_repeated:
                getattr(message, wanted.name).append(f"a {CARD}")
            else:
                setattr(message, wanted.name, f"a {CARD}")
        elif wanted.message_type and depth < 12:
            nested = getattr(message, wanted.name)
            for part in [nested.add() for _ in range(6)] if wanted.is_repeated else [nested]:
                fill(part, random, depth + 1)
    if message.DESCRIPTOR.name == "AnyValue":
        plant(message, random, depth)
    return message


def plant(value: Message, random: Random, depth: int) -> None:
    """Put the canary into a value in one of the ways that are promised."""
    kinds = ["string", "int", "double", "bytes", "base64", *(["array", "map"] if depth < 10 else [])]
    match random.choice(kinds):
        case "string":
            value.string_value = f"pay {CARD}, please"
        case "int":
            value.int_value = NUMBER
        case "double":
            value.double_value = float(NUMBER)
        case "bytes":
            value.bytes_value = f"pay {CARD}".encode()
        case "base64":
            value.string_value = "NDExMTExMTExMTExMTEx"
        case "array":
            for _ in range(2):
                plant(value.array_value.values.add(), random, depth + 1)
        case "map":
            entry = value.kvlist_value.values.add(key=f"k{CARD}")
            plant(entry.value, random, depth + 1)


@pytest.mark.parametrize("signal", Signal)
@pytest.mark.parametrize("seed", range(5))
def test_no_canary_is_left_anywhere(signal: Signal, seed: int) -> None:
    """Planted in every place in every encoding that is promised, in no byte of the output it is found."""
    batch = Batch.from_proto(fill(OFFICIAL[signal](), Random(seed)))
    assert sum(batch.payload.count(hidden) for hidden in HIDDEN) > 50
    redacted = edit(Bench().make(COMPONENT, SETTINGS), batch)
    assert redacted is not None
    assert [hidden for hidden in HIDDEN if hidden in redacted.payload] == []


def test_no_canary_is_left_in_what_does_not_count() -> None:
    """Texts that a later piece of their message overrides are in the bytes that came, and not in those that go."""
    overridden = field(2, 2, field(2, 2, field(5, 2, CARD.encode()) + field(5, 2, b"name")))
    value = field(1, 2, CARD.encode()) + field(3, 0, b"\x01")
    attribute = field(9, 2, field(1, 2, CARD.encode()) + field(2, 2, value) + field(1, 2, b"key"))
    raw = field(1, 2, overridden + field(2, 2, field(2, 2, attribute)))
    redacted = edit(Bench().make(COMPONENT, SETTINGS), Batch(Signal.TRACES, raw, 2))
    assert redacted is not None
    assert CARD.encode() in raw
    assert CARD.encode() not in redacted.payload
