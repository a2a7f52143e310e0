"""`resource`: the actions of `attributes`, on resources."""

from __future__ import annotations

import pytest

from sluiceway.otlp import Batch, Origin, Signal
from sluiceway.processors.resource import COMPONENT
from tests.processors.samples import Bench, edit, of_tenants, problems, resource_attributes, span_attributes, spans


def test_attributes_are_required() -> None:
    """The text is the Collector's, and so is the name of the key."""
    assert 'missing required field "attributes"' in problems(COMPONENT, "{}")
    assert "Extra inputs" in problems(COMPONENT, "{actions: [{key: a, action: delete}]}")


def test_every_resource_is_edited_and_nothing_else() -> None:
    """Actions take effect in order; spans stay as they are."""
    editor = Bench().make(
        COMPONENT,
        "attributes: [{key: env, value: prod, action: upsert}, {key: b, from_attribute: a, action: insert},"
        " {key: a, action: delete}]",
    )
    edited = edit(editor, of_tenants({"a": "1"}, {"env": "dev"}))
    assert resource_attributes(edited) == [{"b": "1", "env": "prod"}, {"env": "prod"}]
    edited = edit(editor, spans(1, a=1))
    assert span_attributes(edited) == [{"a": 1}]
    assert resource_attributes(edited) == [{"env": "prod"}]


def test_what_is_known_of_the_request_can_be_set() -> None:
    """Slots work for resources as for items."""
    editor = Bench().make(COMPONENT, "attributes: [{key: peer, from_context: client.address, action: upsert}]")
    edited = edit(editor, of_tenants({}, {}, origin=Origin(peer="10.0.0.1")))
    assert resource_attributes(edited) == [{"peer": "10.0.0.1"}] * 2


@pytest.mark.parametrize("signal", list(Signal))
def test_nothing_to_do_leaves_the_bytes_alone(signal: Signal) -> None:
    """An untouched payload is the same object."""
    editor = Bench().make(COMPONENT, "attributes: [{key: a, action: delete}]")
    batch = Batch(signal, b"", 0)
    assert edit(editor, batch) is batch
