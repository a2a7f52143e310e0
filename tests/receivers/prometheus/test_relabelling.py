"""Rules that rewrite labels, by Prometheus' documentation and its own test cases."""

from __future__ import annotations

import pytest
import yaml
from pydantic import ValidationError

from sluiceway.receivers.prometheus.relabel import Relabel, relabel

A = {"a": "foo", "b": "bar", "c": "baz"}


def applied(rules: str, labels: dict[str, str]) -> dict[str, str] | None:
    """The labels after the rules; None when they were dropped."""
    changed = dict(labels)
    kept = relabel(changed, [Relabel.model_validate(rule) for rule in yaml.safe_load(rules)])
    return changed if kept else None


@pytest.mark.parametrize(("rules", "expected"), [
    ("[{source_labels: [a], regex: 'f(.*)', target_label: d, replacement: 'ch${1}-ch${1}'}]", A | {"d": "choo-choo"}),
    ("[{source_labels: [a, b], regex: 'f(.*);(.*)r', target_label: a, replacement: 'b${1}${2}m'}]",
     A | {"a": "boobam"}),
    ("[{source_labels: [a], regex: '.*o.*', action: drop}]", None),
    ("[{source_labels: [a], regex: 'o', action: drop}]", A),
    ("[{source_labels: [a], regex: 'no', action: keep}]", None),
    ("[{source_labels: [a], regex: 'f|foo', action: keep}]", A),
    ("[{source_labels: [a], regex: 'nothing', target_label: a, replacement: x}]", A),
    ("[{source_labels: [a], target_label: a, replacement: ''}]", {"b": "bar", "c": "baz"}),
    ("[{source_labels: [c], target_label: d, action: hashmod, modulus: 1000}]", A | {"d": "976"}),
    ("[{source_labels: [a], regex: 'f(.)(.)', target_label: 'x_$1', replacement: '$2$1$$$3$1x'}]",
     A | {"x_o": "oo$"}),
    ("[{regex: '(b|c)', replacement: 'x_$1', action: labelmap}]", A | {"x_b": "bar", "x_c": "baz"}),
    ("[{regex: '(b|c)', action: labeldrop}]", {"a": "foo"}),
    ("[{regex: '(b|c)', action: labelkeep}]", {"b": "bar", "c": "baz"}),
    ("[{source_labels: [a], target_label: d, action: uppercase}]", A | {"d": "FOO"}),
    ("[{source_labels: [a], target_label: a, action: Lowercase}]", A),
    ("[{source_labels: [a], target_label: b, action: keepequal}]", None),
    ("[{source_labels: [a], target_label: b, action: dropequal}]", A),
    ("[{source_labels: [missing], target_label: gone, action: dropequal}]", None),
    ("[{target_label: d, replacement: x}]", A | {"d": "x"}),
])  # fmt: skip
def test_rules_do_what_prometheus_does(rules: str, expected: dict[str, str] | None) -> None:
    """Patterns are for the whole value, groups that are missing are empty, and an empty value is no label."""
    assert applied(rules, A) == expected


@pytest.mark.parametrize(("rule", "text"), [
    ("{action: replace}", "relabel configuration for replace action requires 'target_label' value"),
    ("{action: hashmod, target_label: a}", "relabel configuration for hashmod requires non-zero modulus"),
    ("{action: labeldrop, source_labels: [a]}", "labeldrop action requires only 'regex', and no other fields"),
    ("{action: keep, regex: '('}", 'invalid regex "("'),
    ("{action: lowercase, target_label: '1'}", "is invalid 'target_label' for lowercase action"),
    ("{action: keepequal, target_label: a, regex: x}", "keepequal action requires only 'source_labels'"),
])  # fmt: skip
def test_wrong_rules_are_refused_with_the_words_of_prometheus(rule: str, text: str) -> None:
    """When the configuration is read."""
    with pytest.raises(ValidationError, match=text.replace("(", r"\(")):
        Relabel.model_validate(yaml.safe_load(rule))
