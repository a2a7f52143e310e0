"""`attributes`: what each action does, to which items, compared on protobuf objects."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from sluiceway.component import Editor
from sluiceway.errors import ConfigError
from sluiceway.otlp import Batch, Origin, Signal
from sluiceway.processors.attributes import COMPONENT, from_context
from tests.processors.samples import Bench, attributes_of, edit, gauge, logs, plain, problems, span_attributes, spans


def after(actions: str, origin: Origin | None = None, **attributes: Any) -> dict[str, Any]:
    """The attributes of a span after actions written as YAML."""
    batch = replace(spans(1, **attributes), origin=origin or Origin())
    (found,) = span_attributes(edit(Bench().make(COMPONENT, f"actions: {actions}"), batch))
    return found


def test_actions_are_required() -> None:
    """A section that does nothing is a mistake."""
    assert 'missing required field "actions"' in problems(COMPONENT, "{}")


def test_it_is_an_editor() -> None:
    """The graph may fuse it, for it never looks at the payload."""
    editor = Bench().make(COMPONENT, "actions: [{key: a, action: delete}]")
    assert isinstance(editor, Editor)
    assert not editor.reads_payload


@pytest.mark.parametrize(
    ("action", "absent", "present"),
    [("insert", {"a": 1, "k": "new"}, {"k": "old"}), ("update", {"a": 1}, {"k": "new"}),
     ("upsert", {"a": 1, "k": "new"}, {"k": "new"})],
)  # fmt: skip
def test_setting_depends_on_what_is_there(action: str, absent: dict[str, Any], present: dict[str, Any]) -> None:
    """Insert only where it is absent, update only where it is present, upsert always."""
    actions = f"[{{key: k, action: {action}, value: new}}]"
    assert after(actions, a=1) == absent
    assert after(actions, k="old") == present


@pytest.mark.parametrize("text", ["text", "true", "7", "-1.5", "[a, 1]", "{a: {b: [1.5]}}"])
def test_values_have_the_types_of_yaml(text: str) -> None:
    """Lists and maps too."""
    import yaml

    found = after(f"[{{key: k, action: insert, value: {text}}}]")
    assert found == {"k": yaml.safe_load(text)}
    assert type(found["k"]) is type(yaml.safe_load(text))


def test_actions_take_effect_in_order() -> None:
    """Each sees what the one before has done."""
    actions = "[{key: b, action: insert, from_attribute: a}, {key: a, action: delete}, {key: b, action: hash}]"
    assert after(actions, a="x") == {"b": hashlib.sha1(b"x").hexdigest()}


def test_delete_takes_a_name_or_a_pattern_of_names() -> None:
    """The pattern is found anywhere in the name, unless it is anchored."""
    assert after("[{key: a, pattern: '^b', action: delete}]", a=1, b1=2, cb=3) == {"cb": 3}


def test_hash_writes_hexadecimal_digits() -> None:
    """SHA-1 as the Collector, SHA-256 on demand."""
    actions = "[{key: a, action: hash}, {key: b, action: hash, algorithm: sha256}]"
    expected = {"a": hashlib.sha1(b"x").hexdigest(), "b": hashlib.sha256(b"x").hexdigest()}
    assert after(actions, a="x", b="x") == expected


def test_extract_makes_attributes_of_groups() -> None:
    """What is there is overwritten, and what does not match stays."""
    actions = r"[{key: url, action: extract, pattern: '^(?P<scheme>\w+)://(?P<host>[^/]+)'}]"
    assert after(actions, url="http://h/p", host="old") == {"url": "http://h/p", "scheme": "http", "host": "h"}
    assert after(actions, url="none") == {"url": "none"}


def test_convert_changes_the_type_where_it_can() -> None:
    """What is no number stays a text."""
    actions = "[{key: a, action: convert, converted_type: int}, {key: b, action: convert, converted_type: int}]"
    assert after(actions, a="7", b="seven") == {"a": 7, "b": "seven"}


@pytest.mark.parametrize(
    ("action", "attributes", "expected"),
    [
        ("insert", {"src": 1}, 1), ("insert", {}, "none"), ("insert", {"k": 5}, 5), ("insert", {"k": 5, "src": 1}, 5),
        ("update", {"src": 1}, None), ("update", {"k": 5}, "none"), ("update", {"k": 5, "src": 1}, 1),
        ("upsert", {}, "none"), ("upsert", {"src": 1}, 1), ("upsert", {"k": 5}, "none"),
        ("upsert", {"k": 5, "src": 1}, 1),
    ],
)  # fmt: skip
def test_a_default_stands_in_for_an_absent_source(action: str, attributes: dict[str, Any], expected: Any) -> None:
    """It changes nothing of when the action applies."""
    actions = f"[{{key: k, action: {action}, from_attribute: src, default_value: none}}]"
    assert after(actions, **attributes).get("k") == expected


@pytest.mark.parametrize(("action", "absent"), [("insert", "none"), ("update", None), ("upsert", "none")])
def test_a_source_may_be_the_target_itself(action: str, absent: str | None) -> None:
    """Then only the default can change anything."""
    actions = f"[{{key: k, action: {action}, from_attribute: k, default_value: none}}]"
    assert after(actions, k=5) == {"k": 5}
    assert after(actions).get("k") == absent


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("metadata.X-Team", "a;b"), ("metadata.x-none", None), ("auth.plan", "gold"), ("auth.subject", "acme"),
        ("auth.none", None), ("client.address", "10.0.0.1"),
    ],
)  # fmt: skip
def test_what_is_known_of_the_request_can_be_set(key: str, expected: str | None) -> None:
    """Several values are joined, and an absent one leaves the span alone."""
    origin = Origin(peer="10.0.0.1:9", subject="acme", auth={"plan": "gold"}, headers={"x-team": ("a", "b")})
    assert after(f"[{{key: k, action: upsert, from_context: {key}}}]", origin).get("k") == expected


@pytest.mark.parametrize(
    ("peer", "expected"), [("10.0.0.1", "10.0.0.1"), ("[::1]:4317", "::1"), ("::1:4317", "::1"), ("", None)]
)
def test_the_address_of_a_client_has_no_port(peer: str, expected: str | None) -> None:
    """A port would make every connection a value of its own."""
    assert from_context(Origin(peer=peer), "client.address") == expected


def test_a_default_stands_in_for_an_unknown_of_the_request() -> None:
    """No client address, no header: the default."""
    assert after("[{key: k, action: insert, from_context: client.address, default_value: none}]") == {"k": "none"}


@pytest.mark.parametrize(
    ("settings", "touched"),
    [
        ("include: {match_type: strict, span_names: [span-0, other]}", [True, False]),
        ("exclude: {match_type: strict, span_names: [span-0]}", [False, True]),
        ("include: {match_type: regexp, span_names: ['^span']}, exclude: {match_type: regexp, span_names: ['1$']}",
         [True, False]),
        ("include: {match_type: strict, services: [shop], attributes: [{key: a, value: 1}, {key: b}]}", [True, True]),
        ("include: {match_type: strict, services: [shop], attributes: [{key: a, value: 2}]}", [False, False]),
        ("include: {match_type: strict, resources: [{key: service.name, value: shop}]}", [True, True]),
        ("include: {match_type: strict, libraries: [{name: none}]}", [False, False]),
        ("include: {match_type: regexp, regexp: {cacheenabled: true}, libraries: [{name: '', version: x}]}",
         [False, False]),
        ("include: {match_type: strict, span_kinds: [SPAN_KIND_UNSPECIFIED]}", [True, True]),
    ],
)  # fmt: skip
def test_include_and_exclude_choose_the_spans(settings: str, touched: list[bool]) -> None:
    """All properties of a match must hold; `exclude` comes after `include`."""
    editor = Bench().make(COMPONENT, f"{{actions: [{{key: k, action: insert, value: 1}}], {settings}}}")
    found = span_attributes(edit(editor, spans(2, resource={"service.name": "shop"}, a=1, b=2)))
    assert ["k" in attributes for attributes in found] == touched


def test_the_choice_is_made_before_the_first_action() -> None:
    """Deleting what was matched does not end the match."""
    editor = Bench().make(
        COMPONENT,
        "{include: {match_type: strict, attributes: [{key: a}]},"
        " actions: [{key: a, action: delete}, {key: k, action: insert, value: 1}]}",
    )
    assert span_attributes(edit(editor, spans(1, a=1))) == [{"k": 1}]


def _log_attributes(batch: Batch | None) -> dict[str, Any]:
    assert batch is not None
    data: Any = batch.proto()
    return attributes_of(data.resource_logs[0].scope_logs[0].log_records[0].attributes)


@pytest.mark.parametrize(
    ("match", "touched"),
    [
        ("match_type: strict, log_bodies: [hello]", True),
        ("match_type: regexp, log_bodies: ['^bye']", False),
        ("match_type: strict, log_severity_number: {min: INFO}", True),
        ("match_type: strict, log_severity_number: {min: info2}", False),
        ("match_type: strict, log_severity_number: {min: 9}", True),
        ("match_type: strict, log_severity_texts: [WARN]", False),
    ],
)
def test_log_records_are_chosen_by_their_own_properties(match: str, touched: bool) -> None:
    """Body and severity; a severity may be written as number or name."""
    bench = Bench(frozenset({Signal.LOGS}))
    editor = bench.make(COMPONENT, f"{{actions: [{{key: k, action: insert, value: 1}}], include: {{{match}}}}}")
    assert ("k" in _log_attributes(edit(editor, logs("hello", 9)))) is touched


def test_data_points_are_chosen_by_the_name_of_their_metric() -> None:
    """Attributes of data points are edited."""
    bench = Bench(frozenset({Signal.METRICS}))
    editor = bench.make(
        COMPONENT,
        "{actions: [{key: k, action: upsert, value: 2}], include: {match_type: regexp, metric_names: [^cpu]}}",
    )
    found = []
    for name in ("cpu.time", "memory"):
        data: Any = edit(editor, gauge(name, k=1)).proto()  # type: ignore[union-attr]  # an editor drops nothing
        (pair,) = data.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0].attributes
        found.append(plain(pair.value))
    assert found == [2, 1]


@pytest.mark.parametrize(
    ("match", "text"),
    [
        ("{span_names: [a]}", "Field required"),
        ("{match_type: exact, span_names: [a]}", "'strict' or 'regexp'"),
        ("{match_type: strict}", "at least one property to match must be specified"),
        ("{match_type: regexp, span_names: ['(']}", 'invalid pattern "("'),
        ("{match_type: regexp, libraries: [{name: a, version: '['}]}", 'invalid pattern "["'),
        ("{match_type: regexp, attributes: [{key: a, value: 1}]}", "must be a text when match_type is regexp"),
        ("{match_type: regexp, resources: [{key: a, value: '*'}]}", 'invalid pattern "*"'),
        ("{match_type: strict, attributes: [{key: a, value: 2026-01-01}]}", "is none that an attribute can have"),
        ("{match_type: strict, log_severity_number: {min: LOUD}}", '"LOUD" is no severity number'),
        ("{match_type: strict, log_severity_number: {min: 25}}", '"25" is no severity number'),
        ("{match_type: strict, names: [a]}", "Extra inputs are not permitted"),
    ],
)
def test_a_match_that_cannot_be_is_refused(match: str, text: str) -> None:
    """Before anything starts."""
    assert text in problems(COMPONENT, f"{{actions: [{{key: a, action: delete}}], include: {match}}}")


def test_a_match_must_suit_the_signal_of_its_pipeline() -> None:
    """Log records have no span names."""
    text = "{actions: [{key: a, action: delete}], include: {match_type: strict, span_names: [a]}}"
    with pytest.raises(ConfigError, match="include: span_names should not be specified for log records"):
        Bench(frozenset({Signal.LOGS})).make(COMPONENT, text)
