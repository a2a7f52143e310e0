"""`tenant`: where a tenant comes from, that no claim overrides a proof, and what becomes of the rest."""

from __future__ import annotations

import timeit
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sluiceway.component import Editor, Reason
from sluiceway.errors import SenderError
from sluiceway.otlp import Batch, Origin, Signal
from sluiceway.otlp.status import Code
from sluiceway.processors.tenant import COMPONENT
from sluiceway.receivers.otlp.answers import answer_to
from tests.processors.samples import (
    Bench,
    any_value,
    configure,
    edit,
    of_tenants,
    pairs,
    problems,
    resource_attributes,
    spans,
)

ALL = """
from:
  - subject
  - header: X-Tenant-Id
  - attribute: tenant.id
  - map: {attribute: service.name, values: {checkout: acme, search: blue}}
"""


def tenants(settings: str, *resources: dict[str, str], bench: Bench | None = None, **origin: Any) -> list[str | None]:
    """The tenant of each resource after the processor."""
    editor = (bench or Bench()).make(COMPONENT, settings)
    batch = of_tenants(*(resources or ({},)), origin=Origin(**origin))
    return [found.get("tenant.id") for found in resource_attributes(edit(editor, batch))]


def header(*values: str) -> dict[str, tuple[str, ...]]:
    """The headers of a request that claims a tenant."""
    return {"x-tenant-id": values}


def test_it_is_an_editor_that_reads_the_payload_only_for_attributes() -> None:
    """Only a source in the resource needs a look at it."""
    assert isinstance(Bench().make(COMPONENT, ALL), Editor)
    assert Bench().make(COMPONENT, ALL).reads_payload
    assert not Bench().make(COMPONENT, "from: [subject, {header: a}]").reads_payload


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ("from: [{header: a}, subject]", "'subject' must come first in 'from'"),
        ("from: [{header: a, attribute: b}]", "a source is 'subject' or has exactly one of the keys"),
        ("from: [{}]", "a source is 'subject' or has exactly one of the keys"),
        ("from: [{map: {attribute: a, values: {b: 'no spaces'}}}]", "tenant \"no spaces\" does not match 'pattern'"),
        ("default: -x", "tenant \"-x\" does not match 'pattern'"),
        ("on_missing: default", "'default' is needed when 'on_missing' is default, and not used otherwise"),
        ("{on_missing: refuse, default: a}", "'default' is needed when 'on_missing' is default"),
        ("pattern: '('", "'pattern' is not a valid regular expression"),
        ("on_missing: ignore", "Input should be"),
        ("max_tenants: 0", "greater than or equal to 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: str, text: str) -> None:
    """Each with its reason."""
    assert text in problems(COMPONENT, settings)


def test_subject_and_header_are_the_default_sources() -> None:
    """What a resource claims is not believed unless it was asked for."""
    sources = configure(COMPONENT, "{}").sources
    assert [(source.subject, source.header) for source in sources] == [(True, ""), (False, "x-tenant-id")]


@pytest.mark.parametrize(
    ("origin", "resource", "tenant"),
    [
        ({"subject": "proved", "headers": header("claimed")}, {"tenant.id": "own"}, "proved"),
        ({"headers": header("claimed")}, {"tenant.id": "own", "service.name": "checkout"}, "claimed"),
        ({}, {"tenant.id": "own", "service.name": "checkout"}, "own"),
        ({}, {"service.name": "checkout"}, "acme"),
        ({}, {"service.name": "other"}, "shared"),
        ({}, {}, "shared"),
    ],
)
def test_sources_are_asked_in_order(origin: dict[str, Any], resource: dict[str, str], tenant: str) -> None:
    """Subject, header, attribute, map, default."""
    assert tenants(f"{ALL}\ndefault: shared", resource, **origin) == [tenant]


def test_the_order_is_the_one_that_was_written() -> None:
    """A header after an attribute fills in where a resource has none."""
    settings = "from: [{attribute: tenant.id}, {header: x-tenant-id}, {map: {attribute: a, values: {b: c}}}]"
    assert tenants(settings, {"tenant.id": "own"}, {}, headers=header("claimed")) == ["own", "claimed"]
    assert tenants(settings, {"tenant.id": "own"}, {"a": "b"}) == ["own", "c"]


@pytest.mark.parametrize("subject", ["bad subject", "", "x" * 65])
def test_a_sender_that_was_authenticated_cannot_claim_another_tenant(subject: str) -> None:
    """Not even when its subject is no valid id: then it has no tenant."""
    with pytest.raises(SenderError):
        tenants(ALL, {"tenant.id": "victim"}, subject=subject, headers=header("victim"))


def test_a_tenant_that_comes_with_the_data_is_overwritten() -> None:
    """The attribute counts only where it is a source, and never twice."""
    data = TracesData()
    entry = data.resource_spans.add()
    entry.resource.attributes.extend([*pairs({"tenant.id": "victim"}), *pairs({"tenant.id": "evil"})])
    entry.scope_spans.add().spans.add(name="span")
    batch = replace(Batch.from_proto(data), origin=Origin(subject="proved"))
    assert resource_attributes(edit(Bench().make(COMPONENT, "{}"), batch)) == [{"tenant.id": "proved"}]
    batch = replace(batch, origin=Origin())
    assert resource_attributes(edit(Bench().make(COMPONENT, ALL), batch)) == [{"tenant.id": "victim"}]


def test_each_resource_has_its_own_tenant() -> None:
    """One batch may hold several tenants; other attributes stay."""
    assert tenants(ALL, {"tenant.id": "a"}, {"service.name": "search"}, {"tenant.id": "a"}) == ["a", "blue", "a"]


def test_a_resource_that_is_not_there_is_made() -> None:
    """Spans without any resource belong to somebody too."""
    data = TracesData()
    data.resource_spans.add().scope_spans.add().spans.add(name="span")
    editor = Bench().make(COMPONENT, f"{ALL}\ndefault: shared")
    assert resource_attributes(edit(editor, Batch.from_proto(data))) == [{"tenant.id": "shared"}]


def test_an_attribute_that_is_no_text_is_no_tenant() -> None:
    """The number 7 is not the tenant "7"."""
    data = TracesData()
    entry = data.resource_spans.add()
    entry.resource.attributes.add(key="tenant.id", value=any_value(7))
    entry.scope_spans.add().spans.add(name="span")
    with pytest.raises(SenderError):
        edit(Bench().make(COMPONENT, ALL), Batch.from_proto(data))


@pytest.mark.parametrize("bad", ["", " ", "a b", "a\n", "\na", "../etc", "-a", "x" * 65, "x" * 5000, "ä", "a/b"])
def test_an_invalid_id_counts_as_missing_from_its_source(bad: str) -> None:
    """The next source is asked; the pattern must match the whole."""
    assert tenants(ALL, {"tenant.id": "own"}, headers=header(bad)) == ["own"]
    assert tenants(ALL, {"tenant.id": bad, "service.name": "checkout"}) == ["acme"]


@pytest.mark.parametrize("id", ["a", "A.b_c-9", "x" * 64])
def test_valid_ids_pass(id: str) -> None:
    """Letters, digits, dots, underscores and dashes."""
    assert tenants(ALL, headers=header(id)) == [id]


def test_no_pattern_allows_ids_beyond_256_bytes() -> None:
    """Whoever stores by tenant may rely on it."""
    settings = f"{ALL}\npattern: '.*'\ndefault: shared"
    assert tenants(settings, headers=header("x" * 256)) == ["x" * 256]
    assert tenants(settings, headers=header("x" * 257)) == ["shared"]
    assert tenants(settings, headers=header("ä" * 129)) == ["shared"]


@pytest.mark.parametrize("values", [("a", "b"), ("a", "a")])
def test_a_header_that_comes_twice_is_refused(values: tuple[str, ...]) -> None:
    """Whoever decides between them could be told two things."""
    with pytest.raises(SenderError, match="more than once"):
        tenants(f"{ALL}\ndefault: shared", headers=header(*values))


def test_without_a_tenant_a_request_is_refused_for_good() -> None:
    """One resource without is enough, and nothing is counted or dropped."""
    bench = Bench()
    with pytest.raises(SenderError, match=r"^the request names no valid tenant$"):
        tenants(ALL, {"tenant.id": "a"}, {}, bench=bench)
    assert bench.drops == []
    assert bench.metrics.read("sluiceway_tenant_items") == 0


def test_a_refusal_is_answered_as_the_senders_mistake() -> None:
    """An honest client does not send it again."""
    answer = answer_to(SenderError("the request names no valid tenant"))
    assert answer is not None
    assert (answer.code, answer.delay) == (Code.INVALID_ARGUMENT, None)


def test_dropping_takes_only_the_resources_without_a_tenant() -> None:
    """They are counted as dropped on purpose, once the rest is safe."""
    bench = Bench()
    editor = bench.make(COMPONENT, f"{ALL}\non_missing: drop")
    batch = of_tenants({"tenant.id": "a"}, {}, {"tenant.id": "b"}, {"tenant.id": "no tenant"})
    prepared = editor.prepare(batch)
    assert (prepared.batch.items, bench.drops) == (2, [])
    assert [found["tenant.id"] for found in resource_attributes(edit(editor, batch))] == ["a", "b"]
    assert bench.drops == [(2, Reason.TENANT_MISSING, True)]


@pytest.mark.parametrize("settings", [f"{ALL}\non_missing: drop", "{from: [subject], on_missing: drop}"])
def test_a_batch_without_any_tenant_is_dropped_whole(settings: str) -> None:
    """Whether or not its resources had to be looked at."""
    bench = Bench()
    assert edit(bench.make(COMPONENT, settings), spans(5)) is None
    assert bench.drops == [(5, Reason.TENANT_MISSING, True)]


def test_an_empty_batch_passes() -> None:
    """Nothing belongs to nobody."""
    assert edit(Bench().make(COMPONENT, ALL), Batch(Signal.LOGS, b"", 0)) == Batch(Signal.LOGS, b"", 0)


def test_the_key_is_settable() -> None:
    """As the attribute is called elsewhere."""
    editor = Bench().make(COMPONENT, "{key: org, default: shared}")
    assert resource_attributes(edit(editor, of_tenants({"org": "evil", "a": "b"}))) == [{"org": "shared", "a": "b"}]


def test_items_are_counted_by_tenant_within_a_bound() -> None:
    """Configured tenants keep their series whatever is invented; the rest is one series."""
    bench = Bench()
    editor = bench.make(COMPONENT, "{from: [{header: x-tenant-id}], default: shared, max_tenants: 2}")
    for name in ("a", "b", "c", "a"):
        edit(editor, replace(spans(2), origin=Origin(headers=header(name))))
    edit(editor, spans(3))
    read = bench.metrics.read
    assert read("sluiceway_tenant_items", tenant="shared") == 3
    assert read("sluiceway_tenant_items", tenant="a") == 4
    assert read("sluiceway_tenant_items", tenant="b") == 0
    assert read("sluiceway_tenant_items", **{"otel.metric.overflow": "true"}) == 4
    assert read("sluiceway_tenant_items") == 11


def test_what_is_refused_downstream_is_not_counted() -> None:
    """It comes again, and must not count twice."""
    bench = Bench()
    bench.make(COMPONENT, "default: shared").prepare(spans(3))
    assert bench.metrics.read("sluiceway_tenant_items") == 0


@pytest.mark.parametrize(
    ("settings", "resource", "origin"),
    [
        ("{}", {}, Origin(subject="acme")),
        ("{}", {}, Origin(headers=header("acme"))),
        (ALL, {"tenant.id": "acme"}, Origin()),
        (ALL, {"service.name": "checkout"}, Origin()),
    ],
)
def test_a_batch_of_one_resource_costs_microseconds(settings: str, resource: dict[str, str], origin: Origin) -> None:
    """Verdicts are remembered, so a batch of known tenants is cheap (the bound is generous, for slow machines)."""
    prepare = Bench().make(COMPONENT, settings).prepare
    batch = of_tenants(resource, origin=origin)
    best = min(timeit.repeat(lambda: prepare(batch), number=200, repeat=5)) / 200
    print(f"{best * 1e6:.2f} µs")
    assert best < 50e-6
