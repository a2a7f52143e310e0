"""`redaction`: what it deletes, masks, hashes and says, in the Collector's order, and where else than the Collector."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sluiceway.component import Editor
from sluiceway.otlp import Batch
from sluiceway.otlp.plan import decode_value
from sluiceway.processors.redaction import COMPONENT
from tests.processors.samples import Bench, edit, logs, pairs, problems, spans

CARD = "4111111111111111"
CARDS = "blocked_values: ['4[0-9]{12}(?:[0-9]{3})?']"
ALL = "allow_all_keys: true"


def redact(settings: str, batch: Batch) -> Any:
    """The message after the processor."""
    edited = edit(Bench().make(COMPONENT, f"{{{settings}}}"), batch)
    assert edited is not None
    return edited.proto()


def attributes(settings: str, **given: Any) -> dict[str, Any]:
    """The attributes of a span after the processor."""
    message = redact(settings, spans(1, **given))
    return values(message.resource_spans[0].scope_spans[0].spans[0].attributes)


def values(found: Any) -> dict[str, Any]:
    """Attributes as a dictionary."""
    return {kv.key: decode_value(kv.value.SerializeToString()) for kv in found}


def record(settings: str, body: Any, **given: Any) -> tuple[Any, dict[str, Any]]:
    """The body and the attributes of a log record after the processor."""
    data = LogsData()
    made = data.resource_logs.add().scope_logs.add().log_records.add()
    made.body.CopyFrom(pairs({"body": body})[0].value)
    made.attributes.extend(pairs(given))
    found = redact(settings, Batch.from_proto(data)).resource_logs[0].scope_logs[0].log_records[0]
    return decode_value(found.body.SerializeToString()), values(found.attributes)


def test_it_is_an_editor() -> None:
    """It shares the walk of its neighbours."""
    assert isinstance(Bench().make(COMPONENT, "{}"), Editor)


def test_without_settings_every_attribute_is_deleted() -> None:
    """It fails closed, at every level."""
    data = TracesData()
    entry = data.resource_spans.add()
    scope = entry.scope_spans.add()
    span = scope.spans.add()
    for holder in (entry.resource, scope.scope, span, span.events.add(), span.links.add()):
        holder.attributes.extend(pairs({"a": "b", "c": 1}))
    assert "key" not in str(redact("", Batch.from_proto(data)))


def test_allowed_keys_are_kept() -> None:
    """Those alone."""
    assert attributes("allowed_keys: [a]", a=1, b=2) == {"a": 1}


def test_all_keys_can_be_allowed() -> None:
    """Then nothing is deleted."""
    assert attributes(ALL, a=1, b="2") == {"a": 1, "b": "2"}


@pytest.mark.parametrize("which", ["ignored_keys: [safe]", "ignored_key_patterns: ['^sa']"])
def test_ignored_keys_pass_untouched(which: str) -> None:
    """Allowed or not, blocked or not."""
    assert attributes(f"{which}, {CARDS}, blocked_key_patterns: [safe]", safe=CARD, b=1) == {"safe": CARD}


def test_only_the_part_that_matches_is_masked() -> None:
    """Every occurrence of it, and the rest of the value stays."""
    assert attributes(f"{ALL}, {CARDS}", a=f"pay {CARD} or {CARD}!", b="no card") == {
        "a": "pay **** or ****!",
        "b": "no card",
    }


def test_patterns_are_applied_one_after_the_other() -> None:
    """What one has left is what the next looks at, and no other way round."""
    assert attributes(f"{ALL}, blocked_values: [a+, 'b[*]+', a]", k="xaab") == {"k": "x****b"}
    assert attributes(f"{ALL}, blocked_values: [a+, '[*]+b']", k="xaab") == {"k": "x****"}


def test_a_blocked_key_masks_the_whole_value() -> None:
    """Of whatever kind it is, and line by line where it is a text."""
    assert attributes(
        f"{ALL}, blocked_key_patterns: ['(?i)token']", Token="a b", my_token=5, tokens=["x"], other="a"
    ) == {
        "Token": "****",
        "my_token": "****",
        "tokens": "****",
        "other": "a",
    }
    assert attributes(f"{ALL}, blocked_key_patterns: [t]", t="one\ntwo\n") == {"t": "****\n****\n****"}


def test_an_allowed_value_wins_over_blocked_values_and_blocked_keys() -> None:
    """Even where something else in it would be masked."""
    settings = f"{ALL}, {CARDS}, blocked_key_patterns: [token], allowed_values: ['@mine[.]org$']"
    assert attributes(settings, a=f"{CARD}@mine.org", token="b@mine.org", c=CARD) == {
        "a": f"{CARD}@mine.org",
        "token": "b@mine.org",
        "c": "****",
    }


def test_a_key_that_is_not_allowed_goes_whatever_its_value() -> None:
    """Deleting comes before allowed values."""
    assert attributes("allowed_keys: [a], allowed_values: [x]", b="x") == {}


def test_only_strings_are_looked_at_unless_all_types_are() -> None:
    """Then numbers and bytes are, by their text."""
    number, half = int(CARD), 0.5
    assert attributes(f"{ALL}, {CARDS}", n=number) == {"n": number}
    settings = f"{ALL}, {CARDS}, redact_all_types: true"
    assert attributes(settings, n=number, d=float(CARD), b=CARD.encode(), small=5, half=half) == {
        "n": "****",
        "d": "****",
        "b": "****",
        "small": 5,
        "half": half,
    }


def test_a_pattern_that_matches_nothing_at_all_masks_what_is_no_string() -> None:
    """For the Collector such a value is an empty text."""
    assert attributes(f"{ALL}, blocked_values: ['.*']", a="x", n=1, l=[2]) == {"a": "****", "n": "****", "l": ["****"]}


@pytest.mark.parametrize(
    ("function", "digest"),
    [
        ("md5", lambda text: hashlib.md5(text).hexdigest()),
        ("sha1", lambda text: hashlib.sha1(text).hexdigest()),
        ("sha3", lambda text: hashlib.sha3_256(text).hexdigest()),
        ("hmac-sha256", lambda text: hmac.digest(b"k" * 32, text, "sha256").hex()),
        ("hmac-sha512", lambda text: hmac.digest(b"k" * 64, text, "sha512").hex()),
    ],
)
def test_a_digest_can_stand_for_what_is_masked(function: str, digest: Any) -> None:
    """Of the part that matches, or of the whole value of a blocked key."""
    key = f", hmac_key: {'k' * (64 if function.endswith('512') else 32)}" if "hmac" in function else ""
    settings = f"{ALL}, {CARDS}, blocked_key_patterns: [token], hash_function: {function}{key}"
    assert attributes(settings, a=f"<{CARD}>", token="x") == {
        "a": f"<{digest(CARD.encode())}>",
        "token": digest(b"x"),
    }


# ---- the summary


def test_the_summary_is_silent_unless_asked() -> None:
    """Nothing says that something was done."""
    for summary in ("", "summary: silent, "):
        assert attributes(f"{summary}allowed_keys: [a], {CARDS}", a=CARD, b=1) == {"a": "****"}


def test_info_counts() -> None:
    """By what was done."""
    settings = f"summary: info, allowed_keys: [a, b, c, d], ignored_keys: [d], {CARDS}, allowed_values: [fine]"
    assert attributes(settings, a=CARD, b=CARD, c="fine", d="x", e=1, f=2, g=3) == {
        "a": "****",
        "b": "****",
        "c": "fine",
        "d": "x",
        "redaction.redacted.count": 3,
        "redaction.masked.count": 2,
        "redaction.allowed.count": 1,
        "redaction.ignored.count": 1,
    }


def test_debug_names_the_keys_sorted() -> None:
    """Those of ignored ones are not told."""
    settings = f"summary: debug, allowed_keys: [a, b, c, d], ignored_keys: [d], {CARDS}, allowed_values: [fine]"
    found = attributes(settings, b=CARD, a=CARD, c="fine", d="x", z=1, e=2)
    assert {key: value for key, value in found.items() if key.startswith("redaction")} == {
        "redaction.redacted.keys": "e,z",
        "redaction.redacted.count": 2,
        "redaction.masked.keys": "a,b",
        "redaction.masked.count": 2,
        "redaction.allowed.keys": "c",
        "redaction.allowed.count": 1,
        "redaction.ignored.count": 1,
    }


def test_a_summary_adds_to_the_one_before() -> None:
    """A chain of processors sums up, and does not delete what an earlier one has said."""
    before = {"redaction.redacted.keys": "b,y", "redaction.redacted.count": 2}
    assert attributes("summary: debug", x=1, c=2, **before) == {
        "redaction.redacted.keys": "b,c,x,y",
        "redaction.redacted.count": 4,
    }


def test_names_in_a_summary_are_masked_themselves() -> None:
    """A key that holds what is to be hidden does not come back by the summary."""
    assert attributes(f"summary: debug, {CARDS}", **{f"k{CARD}": 1}) == {
        "redaction.redacted.keys": "k****",
        "redaction.redacted.count": 1,
    }


def test_the_names_in_a_summary_are_bounded() -> None:
    """What does not fit is not told, be it long or one of many; a mark stands for it, once, and all is counted."""
    many = {f"k{number:03}": CARD for number in range(1000)}
    found = attributes(f"{ALL}, summary: debug, {CARDS}", **{"long" * 2000: CARD}, **many)
    assert found["redaction.masked.count"] == 1001
    names = found["redaction.masked.keys"].split(",")
    assert names == [f"k{number:03}" for number in range(818)] + ["…"]
    before = {"redaction.masked.keys": "z,…", "redaction.masked.count": 9}
    found = attributes(f"{ALL}, summary: debug, {CARDS}", **{"long" * 2000: CARD, "a": CARD}, **before)
    assert found["redaction.masked.count"] == 11
    assert found["redaction.masked.keys"] == "a,z,…"


def test_every_list_of_attributes_has_its_own_summary() -> None:
    """Of the resource, the scope, the span, its events and its links."""
    data = TracesData()
    entry = data.resource_spans.add()
    scope = entry.scope_spans.add()
    span = scope.spans.add()
    holders = (entry.resource, scope.scope, span, span.events.add(), span.events.add(), span.links.add())
    for count, holder in enumerate(holders):
        holder.attributes.extend(pairs({f"k{n}": 1 for n in range(count)}))
    found = redact("summary: info", Batch.from_proto(data)).resource_spans[0]
    span = found.scope_spans[0].spans[0]
    holders = (found.resource, found.scope_spans[0].scope, span, *span.events, *span.links)
    assert [values(holder.attributes) for holder in holders] == [
        {"redaction.redacted.count": count} if count else {} for count in range(6)
    ]


# ---- log bodies


def test_a_plain_body_is_masked_and_summed_up() -> None:
    """Beside what was done to the attributes."""
    assert record(f"{ALL}, summary: debug, {CARDS}", f"pay {CARD}", a=CARD) == (
        "pay ****",
        {
            "a": "****",
            "redaction.masked.keys": "a",
            "redaction.masked.count": 1,
            "redaction.body.masked.keys": "body",
            "redaction.body.masked.count": 1,
        },
    )


def test_a_body_of_any_kind_is_looked_at() -> None:
    """Its text decides, whatever `redact_all_types` says."""
    assert record(f"{ALL}, {CARDS}", int(CARD)) == ("****", {})
    assert record(f"{ALL}, {CARDS}", 12) == (12, {})


def test_a_map_as_a_body_is_treated_as_attributes_are() -> None:
    """Key by key, at any depth, and the summary tells the ways."""
    settings = f"summary: debug, allowed_keys: [a, b, token, list], blocked_key_patterns: [token], {CARDS}"
    body = {"a": {"b": CARD, "x": 1}, "y": 2, "token": 5, "list": ["z", [CARD]]}
    assert record(settings, body) == (
        {"a": {"b": "****"}, "token": "****", "list": ["z", ["****"]]},
        {
            "redaction.body.redacted.keys": "a.x,y",
            "redaction.body.redacted.count": 2,
            "redaction.body.masked.keys": "a.b,list.[1].[0],token",
            "redaction.body.masked.count": 3,
        },
    )


def test_an_array_as_a_body_is_looked_at_element_by_element() -> None:
    """Elements are told by their number."""
    assert record(f"summary: debug, {CARDS}, allowed_values: [fine]", ["a", CARD, "fine"]) == (
        ["a", "****", "fine"],
        {
            "redaction.body.masked.keys": "[1]",
            "redaction.body.masked.count": 1,
            "redaction.body.allowed.keys": "[2]",
            "redaction.body.allowed.count": 1,
        },
    )


# ---- more than the Collector


def test_values_in_maps_and_arrays_are_looked_at() -> None:
    """The Collector sees only strings at the top."""
    settings = f"{ALL}, summary: debug, {CARDS}, blocked_key_patterns: [token]"
    assert attributes(settings, m={"k": [CARD, {"token": "x"}], "n": "y"}) == {
        "m": {"k": ["****", {"token": "****"}], "n": "y"},
        "redaction.masked.keys": "m.k.[0],m.k.[1].token",
        "redaction.masked.count": 2,
    }


def test_keys_of_maps_in_attributes_must_be_allowed_too() -> None:
    """As those of maps in bodies."""
    assert attributes("allowed_keys: [m, k]", m={"k": 1, "x": 2}) == {"m": {"k": 1}}


def test_keys_are_masked_where_all_are_allowed() -> None:
    """Two that become the same both stay."""
    message = redact(f"{ALL}, {CARDS}", spans(1, **{f"a{CARD}": 1, f"a{CARD[:-1]}2": 2, "b": 3}))
    found = message.resource_spans[0].scope_spans[0].spans[0].attributes
    assert [kv.key for kv in found] == ["a****", "a****", "b"]


def test_texts_beside_attributes_are_masked() -> None:
    """Names, states, messages, descriptions, units, severities, URLs."""
    data = TracesData()
    entry = data.resource_spans.add(schema_url=CARD)
    entry.resource.entity_refs.add(type=CARD, id_keys=[CARD])
    scope = entry.scope_spans.add(schema_url=CARD)
    scope.scope.name = scope.scope.version = CARD
    span = scope.spans.add(name=CARD, trace_state=CARD)
    span.status.message = CARD
    span.events.add(name=CARD)
    span.links.add(trace_state=CARD)
    metrics = MetricsData()
    metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name=CARD, description=CARD, unit=CARD)
    metric.metadata.extend(pairs({"a": CARD}))
    point = metric.sum.data_points.add()
    point.exemplars.add().filtered_attributes.extend(pairs({"a": CARD}))
    records = LogsData()
    records.resource_logs.add().scope_logs.add().log_records.add(severity_text=CARD, event_name=CARD)
    for message, count in ((data, 11), (metrics, 5), (records, 2)):
        found = str(redact(f"{ALL}, {CARDS}", Batch.from_proto(message)))
        assert CARD not in found
        assert found.count("****") == count


# ---- sanitizers


def test_urls_are_sanitized_under_their_keys_and_in_names() -> None:
    """Names of client and server spans that look like paths."""
    settings = f"{ALL}, summary: debug, url_sanitizer: {{enabled: true, attributes: [http.url]}}"
    data = TracesData()
    spans_ = data.resource_spans.add().scope_spans.add().spans
    for kind, name in ((3, "GET /orders/123?x=1"), (1, "/orders/123"), (2, "/77"), (2, "checkout 5")):
        spans_.add(name=name, kind=kind).attributes.extend(pairs({"http.url": "/a/5", "other": "/a/5"}))
    found = redact(settings, Batch.from_proto(data)).resource_spans[0].scope_spans[0].spans
    assert [span.name for span in found] == ["GET /orders/*", "/orders/123", "/77", "checkout 5"]
    assert values(found[0].attributes) == {
        "http.url": "/a/*",
        "other": "/a/5",
        "redaction.masked.keys": "http.url",
        "redaction.masked.count": 1,
    }


def test_names_need_not_be_sanitized() -> None:
    """URLs in them can be left alone, and so can bodies."""
    settings = f"{ALL}, url_sanitizer: {{enabled: true, sanitize_span_name: false, sanitize_log_body: false}}"
    data = TracesData()
    data.resource_spans.add().scope_spans.add().spans.add(name="/a/5", kind=3)
    assert redact(settings, Batch.from_proto(data)).resource_spans[0].scope_spans[0].spans[0].name == "/a/5"
    assert record(settings, "/a/5")[0] == "/a/5"


@pytest.mark.parametrize(
    ("kind", "system", "query", "sanitized"),
    [
        ("sql", "PostgreSQL", "SELECT * FROM t WHERE id = 12", "SELECT * FROM t WHERE id = ?"),
        ("redis", "redis", "SET user:1 secret", "SET user:1 ?"),
        ("valkey", "valkey", "SET user:1 secret", "SET user:1 ?"),
        ("memcached", "memcached", "set k 0 60 5\r\nvalue", "set k 0 60 5"),
        ("mongo", "mongodb", '{"find":"users"}', '{"find":"?"}'),
        ("opensearch", "opensearch", '{"query":{"a":1}}', '{"query":{"a":"?"}}'),
        ("es", "elasticsearch", '{"query":{"a":1}}', '{"query":{"a":"?"}}'),
    ],
)
def test_queries_are_sanitized_by_the_system_of_their_item(kind: str, system: str, query: str, sanitized: str) -> None:
    """Under their keys and as the name of a span; those of other systems stay, and those of no system."""
    settings = f"{ALL}, db_sanitizer: {{{kind}: {{enabled: true, attributes: [q]}}}}"
    data = TracesData()
    spans_ = data.resource_spans.add().scope_spans.add().spans
    spans_.add(name=query, kind=3).attributes.extend(pairs({"q": query, "other": query, "db.system": system}))
    spans_.add(name=query, kind=3).attributes.extend(pairs({"q": query, "db.system.name": "cassandra"}))
    spans_.add(name=query, kind=3).attributes.extend(pairs({"q": query}))
    found = redact(settings, Batch.from_proto(data)).resource_spans[0].scope_spans[0].spans
    assert [(span.name, values(span.attributes)["q"]) for span in found] == [
        (sanitized, sanitized), (query, query), (query, query)
    ]  # fmt: skip
    assert values(found[0].attributes)["other"] == query


def test_queries_of_no_system_can_be_sanitized_by_all() -> None:
    """One sanitizer after the other."""
    kinds = "sql: {enabled: true, attributes: [q]}, redis: {enabled: true, attributes: [q]}"
    settings = f"{ALL}, db_sanitizer: {{{kinds}, allow_fallback_without_system: true}}"
    assert attributes(settings, q="SET user:123 john") == {"q": "SET user:? ?"}


def test_queries_in_bodies_are_sanitized() -> None:
    """By all that are enabled and for which they look right."""
    kinds = "sql: {enabled: true}, redis: {enabled: true}, mongo: {enabled: true}, memcached: {enabled: true}"
    settings = f"{ALL}, url_sanitizer: {{enabled: true}}, db_sanitizer: {{{kinds}}}"
    assert record(settings, {"a": "order 12 failed", "b": 'SET k "v"', "c": '{"a":1}'})[0] == {
        "a": "order ? failed",
        "b": "SET k ?",
        "c": '{"a":"?"}',
    }


# ---- settings


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ("blocked_values: [a, 'b(']", 'invalid pattern "b(": missing )'),
        ("allowed_values: ['(?=a)']", 'invalid pattern "(?=a)"'),
        ("blocked_key_patterns: ['a{2000}']", 'invalid pattern "a{2000}"'),
        ("ignored_key_patterns: ['[']", 'invalid pattern "["'),
        ("hash_function: sha256", "Input should be '', 'md5', 'sha1', 'sha3', 'hmac-sha256' or 'hmac-sha512'"),
        ("hash_function: hmac-sha256", "'hmac_key' is required for the hash function hmac-sha256"),
        ("hash_function: hmac-sha512, hmac_key: short", "must have at least 64 bytes for hmac-sha512, and has 5"),
        ("summary: loud", "Input should be '', 'debug', 'info' or 'silent'"),
        ("blocked_keys: [a]", "Extra inputs are not permitted"),
        ("db_sanitizer: {oracle: {}}", "Extra inputs are not permitted"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: str, text: str) -> None:
    """Each with its reason."""
    assert text in problems(COMPONENT, f"{{{settings}}}")


def test_it_changes_nothing_where_there_is_nothing_to_change() -> None:
    """The batch comes back as it was."""
    batch = logs("nothing here", a="b")
    assert edit(Bench().make(COMPONENT, f"{{{ALL}, {CARDS}}}"), batch) is batch
