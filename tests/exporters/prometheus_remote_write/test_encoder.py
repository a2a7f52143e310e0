"""The encoder: each request says what the plain model says."""

from __future__ import annotations

import struct
from functools import partial
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from sluiceway.exporters.prometheus_remote_write._encoder import RemoteWriteEncoder
from sluiceway.exporters.prometheus_remote_write._pick import pick
from sluiceway.exporters.prometheus_remote_write.series import SeriesNames
from sluiceway.otlp import Batch, Signal
from sluiceway.otlp.metrics import Histogram
from sluiceway.prometheus.naming import Strategy
from tests.exporters.prometheus_remote_write.bench import metrics
from tests.exporters.prometheus_remote_write.model import Model
from tests.exporters.prometheus_remote_write.reading import bits, read
from tests.otlp.strategies import checked, payload

NOWHERE = 0xFFFFFFFF
NOW = 1_700_000_000_000_000_000


def encoder(names: SeriesNames, **changed) -> RemoteWriteEncoder:
    """An encoder with the settings of the exporter, but for those given."""
    settings = {
        "second": False, "metadata": False, "accumulate": False, "max_bytes": 3_000_000, "max_streams": 1000,
        "max_cached": 1 << 26, "seed": 7,
    }  # fmt: skip
    return RemoteWriteEncoder(names.describe, names.label_exemplar, **(settings | changed))


def all_series(requests, second):
    """The series of several requests by what they are; none may come twice."""
    found = {}
    for content, samples, histograms, exemplars, has_points in requests:
        series = read(content, second=second)
        assert has_points != all(dict(one.labels)["__name__"].endswith("target_info") for one in series)
        assert sum(len(one.samples) for one in series) == samples
        assert sum(len(one.histograms) for one in series) == histograms
        assert sum(len(one.exemplars) for one in series) == exemplars
        for one in series:
            key = one.labels, bool(one.histograms)
            assert key not in found
            found[key] = one
    return found


def tame(message: MetricsData, random: Random) -> MetricsData:
    """The message with fewer things that no one can carry, so that more is to be compared."""
    for resource in message.resource_metrics:
        if random.random() < 0.5:
            resource.resource.attributes.add(key="service.name", value={"string_value": "shop"})
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                metric.name = random.choice(["a", "b.c", "http.duration"])
                kind = metric.WhichOneof("data")
                data = getattr(metric, kind) if kind else None
                if kind in ("sum", "histogram", "exponential_histogram") and random.random() < 0.9:
                    data.aggregation_temporality = 2
                for point in data.data_points if kind else ():
                    _tame_point(kind, point, random)
    return message


def _tame_point(kind, point, random):
    point.time_unix_nano = NOW + random.randrange(5) * 20_000_000_000
    point.flags = int(random.random() < 0.1)
    if kind == "histogram":
        del point.explicit_bounds[:], point.bucket_counts[:]
        bounds = sorted(random.sample([-1.0, 0.0, 0.005, 1.0, 2.5, 1e9, float("inf")], random.randrange(5)))
        point.explicit_bounds.extend(bounds)
        if not point.flags or random.random() < 0.5:
            point.bucket_counts.extend(random.randrange(9) for _ in range(len(bounds) + 1))
    if kind == "exponential_histogram":
        point.scale = random.randrange(-4, 21)
        for side in (point.positive, point.negative):
            del side.bucket_counts[:]
            side.offset = random.randrange(-500, 500)
            side.bucket_counts.extend(random.choice([0, 0, 1, 5]) for _ in range(random.randrange(40)))


@pytest.mark.parametrize("second", [False, True])
@given(seed=st.integers(0, 2**32), is_tame=st.booleans(), limit=st.sampled_from([1, 300, 3_000_000]))
@checked
def test_the_encoder_says_what_the_model_says(second, seed, is_tame, limit):
    """Whatever the batches are, every sample of every series is there, once, and each point that is not is counted."""
    random = Random(seed)
    names = SeriesNames(
        random.choice(list(Strategy)), namespace=random.choice(["", "ns"]), external={"cluster": "x", "a": "external"},
        scope_info=random.random() < 0.7, resource_labels=random.random() < 0.5, target_info=random.random() < 0.8,
        without_identity=random.random() < 0.5,
    )  # fmt: skip
    kernel, model = encoder(names, second=second, max_bytes=limit), Model(names, second)
    for _ in range(2):
        raw = payload(random, Signal.METRICS)
        if is_tame:
            raw = tame(MetricsData.FromString(raw), random).SerializeToString()
        expected, rejected, carried = model.encode(MetricsData.FromString(raw))
        requests, owners, reasons = kernel.encode(raw, NOW)
        found = all_series(requests, second)
        assert found.keys() == expected.keys()
        for key, series in found.items():
            assert series == expected[key]
        assert dict(rejected) == reasons
        told = struct.unpack(f"<{len(owners) // 4}I", owners)
        assert [owner != NOWHERE for owner in told] == carried
        assert limit > 1 or len(requests) <= len(found)


@given(seed=st.integers(0, 2**32))
@checked
def test_picked_points_are_those_of_one_request(seed):
    """All requests' points together, with those that none has, are the batch; each lot is a valid batch of its own."""
    random = Random(seed)
    raw = payload(random, Signal.METRICS)
    batch = Batch.from_proto(MetricsData.FromString(raw))
    kernel = encoder(SeriesNames(Strategy.UNDERSCORES_SUFFIXES), max_bytes=1)
    requests, owners, _ = kernel.encode(raw, NOW)
    told = struct.unpack(f"<{batch.items}I", owners)
    lots = [pick(raw, owners, number) for number in (*range(len(requests)), NOWHERE)]
    assert [count for _, count in lots] == [told.count(number) for number in (*range(len(requests)), NOWHERE)]
    for content, count in lots:
        assert Batch.from_proto(MetricsData.FromString(content)).items == count
    assert sorted(point for content, _ in lots for point in points(content)) == sorted(points(raw))
    rest, count = pick(raw, owners, NOWHERE, inverted=True)
    assert count == batch.items - told.count(NOWHERE) == len(points(rest))


def points(raw: bytes) -> list[bytes]:
    """The points of a message."""
    found = []
    for resource in MetricsData.FromString(raw).resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                data = getattr(metric, kind).data_points if kind else ()
                found += [metric.name.encode() + point.SerializeToString(deterministic=True) for point in data]
    return found


def test_a_histogram_of_too_many_bounds_is_left_out():
    """Each bound is a series, of which one point could else make millions."""
    kernel = encoder(SeriesNames(Strategy.UNDERSCORES_SUFFIXES))

    def reasons(bounds):
        value = Histogram(tuple(map(float, range(bounds))), (1,) * (bounds + 1), sum=1.0)
        return kernel.encode(metrics(lambda into: into.histogram("h").add_histogram(value, time=NOW)).payload, NOW)[2]

    assert reasons(1000) == {}
    assert reasons(1001) == {"buckets": 1}


def test_what_is_known_of_series_is_bounded():
    """When it is too much, the encoder begins anew, and says the same."""
    kernel = encoder(SeriesNames(Strategy.UNDERSCORES_SUFFIXES), max_cached=100_000)
    for number in range(50):
        batch = metrics(lambda into, n=number: into.gauge(f"g{n}").add(n, {"a": "x" * 1000}, time=NOW + n * 10**9))
        ((content, *_), *_), _, _ = kernel.encode(batch.payload, NOW)
        (one,) = (one for one in read(content, second=False) if one.labels[0][1] != "target_info")
        assert one.samples == [((NOW + number * 10**9) // 10**6, 0, bits(float(number)))]
    assert kernel.series < 100
    assert kernel.cached < 200_000


@pytest.mark.parametrize("turned", [False, True])
def test_metrics_that_come_to_the_same_name_share_a_series(turned):
    """It stands in one request, whichever metric came first."""

    def count(into, at):
        into.gauge("foo.count").add(7, time=at)

    def spread(into, at):
        into.histogram("foo").add_histogram(Histogram((1.0,), (1, 2), sum=1.0), time=at)

    kernel = encoder(SeriesNames(Strategy.UNDERSCORES_SUFFIXES), max_bytes=1)
    writes = [count, spread] if not turned else [spread, count]
    for step in range(3):
        at = NOW + step * 10**12
        present = writes if step < 2 else writes[1:]  # at last without the one whose group made the series
        batch = metrics(*(partial(write, at=at + n * 10**9) for n, write in enumerate(present)))
        found = all_series(kernel.encode(batch.payload, NOW)[0], second=False)
        values = {dict(labels)["__name__"]: one.samples for (labels, _), one in found.items()}
        assert len(values["foo_count"]) == (1 if step == 2 else 2)
