"""The settings of actions: what is refused with which text, and what the rest is compiled to."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from sluiceway.config.actions import ActionConfig, Actions, compile_actions
from sluiceway.otlp.plan import Convert, Copy, Extract, Hash, Level, Put, Remove, Slot

ACTIONS: TypeAdapter[tuple[ActionConfig, ...]] = TypeAdapter(Actions)
ITEM = Level.ITEM


def read(text: str) -> tuple[ActionConfig, ...]:
    """Check actions written as YAML."""
    return ACTIONS.validate_python(tuple(yaml.safe_load(text)))


def compiled(text: str) -> list[Any]:
    """Check and compile actions written as YAML."""
    actions, _ = compile_actions(read(text), ITEM)
    return actions


@pytest.mark.parametrize(
    ("action", "text"),
    [
        ("{key: a}", 'unsupported action "" at the 0-th actions'),
        ("{key: a, action: destroy}", 'unsupported action "destroy" at the 0-th actions'),
        ("{action: insert, value: 1}", 'missing required field "key" at the 0-th actions'),
        ("{action: delete}", 'missing required field "key" or "pattern" at the 0-th actions'),
        ("{key: a, action: insert}", '"from_attribute" or "from_context" setting must be specified for 0-th action'),
        ("{key: a, action: update, value: 1, from_attribute: b}", "multiple value sources"),
        ("{key: a, action: update, value: '', from_attribute: b}", "multiple value sources"),
        ("{key: a, action: upsert, value: 1, default_value: 2}", "multiple value sources"),
        ("{key: a, action: upsert, from_context: Host}", 'unknown from_context "Host" at the 0-th actions'),
        ("{key: a, action: upsert, value: 99999999999999999999}", 'field "value" at the 0-th actions holds what no'),
        ("{key: a, action: upsert, value: .nan}", 'field "value" at the 0-th actions holds what no'),
        ("{key: a, action: upsert, value: 2026-01-01}", 'field "value" at the 0-th actions holds what no'),
        ("{key: a, action: upsert, value: [{1: b}]}", 'field "value" at the 0-th actions holds what no'),
        ("{key: a, action: insert, value: 1, pattern: b}", 'Action "insert" does not use the "pattern" field'),
        ("{key: a, action: insert, value: 1, converted_type: int}", 'does not use the "converted_type" field'),
        ("{key: a, action: delete, value: 1}", 'Action "delete" does not use a value source field'),
        ("{key: a, action: hash, default_value: 1}", 'Action "hash" does not use a value source field'),
        ("{key: a, action: delete, algorithm: sha256}", 'action "delete" does not use the "algorithm" field'),
        ("{key: a, action: extract}", 'missing required field "pattern" for action "extract" at the 0-th action'),
        (r"{key: a, action: extract, pattern: '(?P<x>\C)'}", r'has invalid pattern: "(?P<x>\C)"'),
        ("{key: a, action: extract, pattern: '('}", 'Field "pattern" has invalid pattern: "("'),
        ("{key: a, action: delete, pattern: '(?=a)'}", 'Field "pattern" has invalid pattern: "(?=a)"'),
        ("{key: a, action: extract, pattern: b}", 'Field "pattern" contains no named matcher groups at the 0-th'),
        ("{key: a, action: extract, pattern: '(?P<b>.)(.)'}", "contains at least one unnamed matcher group"),
        ("{key: a, action: convert}", 'missing required field "converted_type" for action "convert"'),
        ("{key: a, action: convert, converted_type: date}", "(valid values: [int double string])"),
    ],
)  # fmt: skip
def test_an_action_that_cannot_be_is_refused(action: str, text: str) -> None:
    """Texts are the Collector's."""
    with pytest.raises(ValidationError) as error:
        read(f"[{action}]")
    assert text in error.value.errors()[0]["msg"]


def test_mistakes_of_all_actions_are_told_at_once() -> None:
    """Each stands at the place of its action."""
    with pytest.raises(ValidationError) as error:
        read("[{key: a}, {key: a, action: delete}, {action: convert}]")
    assert [problem["loc"] for problem in error.value.errors()] == [(0,), (2,), (2,)]


@pytest.mark.parametrize("value", ["text", "", True, False, 7, -1.5, ["a", 1], {"a": {"b": [1.5]}}, [], 0])
@pytest.mark.parametrize("mode", ["insert", "update", "upsert"])
def test_a_value_has_its_type_from_yaml(mode: Any, value: Any) -> None:
    """Also those that look like nothing: false, zero, the empty text and the empty list."""
    assert compiled(yaml.safe_dump([{"key": "k", "action": mode, "value": value}])) == [Put(ITEM, "k", value, mode)]


def test_actions_are_known_in_any_case() -> None:
    """The Collector lowers the names of actions."""
    assert compiled("[{key: k, action: DELETE}]") == [Remove(ITEM, "k")]


def test_each_kind_of_action_has_its_kernel_action() -> None:
    """The order stays."""
    text = """
      - {key: a, action: delete, pattern: ^b}
      - {pattern: ^c, action: hash, algorithm: sha256}
      - {key: d, action: extract, pattern: "(?P<e>.*)"}
      - {key: f, action: convert, converted_type: double}
      - {key: g, action: insert, from_attribute: h}
    """
    assert compiled(text) == [
        Remove(ITEM, "a", "^b"),
        Hash(ITEM, "", "^c", "sha256"),
        Extract(ITEM, "d", "(?P<e>.*)"),
        Convert(ITEM, "f", "double"),
        Put(ITEM, "g", Copy("h"), "insert"),
    ]


def test_what_comes_from_the_request_is_a_slot() -> None:
    """Its value is looked up for every batch, with the default where it is absent."""
    actions = read("[{key: a, action: upsert, from_context: metadata.x-team, default_value: none}]")
    ((put,), slots) = compile_actions(actions, Level.RESOURCE)
    assert isinstance(put, Put)
    assert isinstance(put.value, Slot)
    assert slots == {put.value: ("metadata.x-team", "none")}


def test_a_default_alone_is_a_value() -> None:
    """Without a source there is nothing to wait for."""
    assert compiled("[{key: a, action: insert, default_value: 5}]") == [Put(ITEM, "a", 5, "insert")]
