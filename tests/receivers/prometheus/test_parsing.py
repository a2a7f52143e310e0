"""Reading text formats, against the parser of the official client."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from sluiceway.receivers.prometheus._series import Series, Whole, histograms, number
from sluiceway.receivers.prometheus.exposition import ExpositionError, labels_of
from sluiceway.receivers.prometheus.reader import Format
from sluiceway.receivers.prometheus.scrape import Answer, families
from tests.growth import grows_evenly

names = st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,9}", fullmatch=True)
label_names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,5}", fullmatch=True).filter(
    lambda name: not name.startswith("__")
)
texts = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n"), max_size=9)
values = st.floats() | st.integers(-(10**18), 10**18).map(float)


def escaped(text: str) -> str:
    """A label's value as text formats have it."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def written(value: float) -> str:
    """A value as Go writes it."""
    return {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, "NaN" if math.isnan(value) else repr(value))


@st.composite
def lines(draw: Any) -> str:
    """One sample of the text format."""
    labels = draw(st.dictionaries(label_names, texts, max_size=4))
    shown = ",".join(f'{name}="{escaped(text)}"' for name, text in labels.items())
    time = draw(st.none() | st.integers(0, 10**12))
    return f"{draw(names)}{{{shown}}} {written(draw(values))}{'' if time is None else f' {time}'}\n"


def same(one: float, other: float) -> bool:
    """Whether two values are the same, where NaN is one."""
    return one == other or (math.isnan(one) and math.isnan(other))


@given(st.lists(lines(), max_size=6, unique_by=lambda line: line.rpartition("}")[0]))
def test_text_is_read_as_the_official_client_reads_it(given: list[str]) -> None:
    """Same names, labels, values and times, whatever stands in labels."""
    body = "".join(given)
    ours = [sample for family in families(Answer(body.encode(), Format.TEXT)) for sample in family.samples]
    theirs = [sample for family in text_families(body) for sample in family.samples]
    key = lambda sample: (sample.name, sorted(sample.labels.items()))  # noqa: E731
    for one, other in zip(sorted(ours, key=key), sorted(theirs, key=key), strict=True):
        assert (one.name, one.labels) == (other.name, other.labels)
        assert same(one.value, other.value)
        assert (one.time is None) == (other.timestamp is None)
        assert one.time is None or abs(one.time / 1e9 - other.timestamp) < 1e-3


def test_openmetrics_is_read_as_the_official_client_reads_it() -> None:
    """Types, units, texts and exemplars are the same, too."""
    body = (
        '# HELP a_seconds Some \\"text\\"\\n.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n'
        'a_seconds_total{x="} # {"} 1.5 12.5 # {trace_id="ab",k="#"} 0.5 11.25\na_seconds_created{x="} # {"} 3 12.5\n'
        '# TYPE h histogram\nh_bucket{le="1.0"} 1 # {} 0.5\nh_bucket{le="+Inf"} 2\nh_count 2\nh_sum 4\n# EOF\n'
    )
    ours = families(Answer(body.encode(), Format.OPENMETRICS))
    theirs = list(openmetrics_families(body))
    for one, other in zip(ours, theirs, strict=True):
        assert (one.name, one.type, one.unit, one.help) == (other.name, other.type, other.unit, other.documentation)
        for sample, expected in zip(one.samples, other.samples, strict=True):
            assert (sample.name, sample.labels, sample.value) == (expected.name, expected.labels, expected.value)
            if expected.exemplar:
                assert sample.exemplar is not None
                assert (sample.exemplar.labels, sample.exemplar.value) == (
                    expected.exemplar.labels, expected.exemplar.value,
                )  # fmt: skip


@given(st.text(st.sampled_from("0123456789.-+eEinfNa _x"), max_size=22) | values.map(written))
def test_numbers_are_read_as_python_reads_them(text: str) -> None:
    """To the last bit; without Python's underscores and blanks, and what is too large is none."""
    try:
        expected = None if "_" in text or " " in text else float(text)
    except ValueError:
        expected = None
    if expected is not None and math.isinf(expected) and "n" not in text.lower():
        expected = None
    try:
        found = number(text.encode())
    except ValueError:
        found = None
    assert found is expected is None or (found is not None and expected is not None and same(found, expected))


@given(st.binary(max_size=60) | st.text(st.sampled_from('a{}="\\, #\n1eE_'), max_size=40).map(str.encode))
def test_whatever_comes_is_read_or_refused(body: bytes) -> None:
    """There is one error for all that cannot be read, in every format."""
    for format in Format:
        with suppress(ExpositionError):
            families(Answer(body, format))


@pytest.mark.parametrize(("key", "labels"), [
    ('{"my.metric", "a.b"="c"}', {"__name__": "my.metric", "a.b": "c"}),
    ('a{b="c",}', {"__name__": "a", "b": "c"}), ("a {}", {"__name__": "a"}),
    ('a{b="\\x\\\\n"}', {"__name__": "a", "b": "\\x\\n"}),
])  # fmt: skip
def test_names_may_be_quoted(key: str, labels: dict[str, str]) -> None:
    """UTF-8 names as Prometheus 3 writes them, a last comma, and escapes that mean nothing."""
    assert labels_of(key.encode()) == labels


@pytest.mark.parametrize("key", ['a{b="c",b="d"}', "a{b}", 'a{"b"}', "a{,}", 'a{b="c" d="e"}', "{}", 'a{b="c"}x', "1a"])
def test_series_that_are_none_are_refused(key: str) -> None:
    """Names that come twice, labels without values, and what is no series."""
    with pytest.raises(ExpositionError):
        labels_of(key.encode())


def test_parts_in_any_order_are_put_in_order_at_once() -> None:
    """A target whose buckets come in descending order holds up nobody."""

    def build(size: int) -> Whole:
        whole = Whole(b"")
        for bound in range(size, 0, -1):
            whole.put(Series(b"", bound=float(bound)))
        whole.count = Series(b"")
        whole.count.seen = 1
        histograms([whole], 1, 1, None)
        return whole

    assert grows_evenly(lambda: build(5_000), lambda: build(20_000))
