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
from sluiceway.otlp.metrics import ExponentialHistogram, Histogram
from sluiceway.prometheus.naming import Strategy
from sluiceway.prometheus.translation import SERVICE, Rules
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
            assert one.labels not in found
            found[one.labels] = one
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
    point.time_unix_nano = NOW + random.randrange(5) * 20_000_000_000 + random.randrange(3)
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
    shown, left_out = random.random() < 0.5, SERVICE if random.random() < 0.5 else ()
    rules = Rules(
        random.choice(list(Strategy)), random.choice(["", "ns"]), {}, random.random() < 0.7,
        lambda key: shown and key not in left_out,
    )  # fmt: skip
    external = {"cluster": "x", "a": "external"}
    names = SeriesNames(rules, external=external, target_info=random.random() < 0.8)
    kernel, model = encoder(names, second=second, max_bytes=limit), Model(names, second, NOW)
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
    kernel = encoder(SeriesNames(Rules()), max_bytes=1)
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
    kernel = encoder(SeriesNames(Rules()))

    def reasons(bounds):
        value = Histogram(tuple(map(float, range(bounds))), (1,) * (bounds + 1), sum=1.0)
        return kernel.encode(metrics(lambda into: into.histogram("h").add_histogram(value, time=NOW)).payload, NOW)[2]

    assert reasons(1000) == {}
    assert reasons(1001) == {"buckets": 1}


def test_what_is_known_of_series_is_bounded():
    """When it is too much, the encoder begins anew, and says the same."""
    kernel = encoder(SeriesNames(Rules()), max_cached=100_000)
    for number in range(50):
        batch = metrics(lambda into, n=number: into.gauge(f"g{n}").add(n, {"a": "x" * 1000}, time=NOW + n * 10**9))
        ((content, *_), *_), _, _ = kernel.encode(batch.payload, NOW)
        (one,) = (one for one in read(content, second=False) if one.labels[0][1] != "target_info")
        assert one.samples == [((NOW + number * 10**9) // 10**6, 0, bits(float(number)))]
    assert kernel.series < 100
    assert kernel.cached < 200_000


@pytest.mark.parametrize("turned", [False, True])
def test_a_series_is_of_the_type_that_came_first(turned):
    """Points of another type or unit are rejected as long as both come in one batch, and taken when it comes alone."""

    def count(into, at):
        into.gauge("foo.count").add(7, time=at)

    def spread(into, at):
        into.histogram("foo").add_histogram(Histogram((1.0,), (1, 2), sum=1.0), time=at)

    kernel = encoder(SeriesNames(Rules()), max_bytes=1)
    writes = [count, spread] if not turned else [spread, count]
    for step in range(3):
        at = NOW + step * 10**9
        present = writes if step < 2 else writes[1:]  # at last without the one that came first
        batch = metrics(*(partial(write, at=at + n * 10**6) for n, write in enumerate(present)))
        requests, owners, reasons = kernel.encode(batch.payload, NOW)
        found = {dict(labels)["__name__"]: one.samples for labels, one in all_series(requests, second=False).items()}
        assert len(found["foo_count"]) == 1
        assert reasons == ({} if step == 2 else {"type": 1})
        assert struct.unpack(f"<{batch.items}I", owners).count(NOWHERE) == sum(reasons.values())
        assert ("foo_bucket" in found) == (present[0] is spread)


def test_units_without_suffixes_are_not_mixed():
    """Seconds and milliseconds of one name would be one series."""
    names = SeriesNames(Rules(Strategy.UNDERSCORES))
    batch = metrics(*(lambda into, unit=unit: into.gauge("wait", unit).add(1, time=NOW) for unit in ("s", "ms")))
    assert encoder(names).encode(batch.payload, NOW)[2] == {"type": 1}


def newest(*points: tuple[int, float]):
    """What is left of gauge points of one series, as times and values, and how many were rejected."""

    def gauge(into):
        for at, value in points:
            into.gauge("g").add(value, time=at)

    requests, owners, reasons = encoder(SeriesNames(Rules(), target_info=False)).encode(metrics(gauge).payload, NOW)
    found = [(at - NOW // 10**6, value) for at, _, value in read(requests[0][0], second=False)[0].samples]
    assert list(struct.unpack(f"<{len(points)}I", owners)).count(NOWHERE) == sum(reasons.values())
    return found, reasons


def test_a_series_stands_with_the_point_that_it_is_of():
    """Though another metric had it before: all of a histogram is in one request, which is its owner."""
    kernel = encoder(SeriesNames(Rules(), target_info=False), max_bytes=1)
    histogram = metrics(
        lambda into: into.histogram("h").add_histogram(Histogram((1.0,), (1, 1), sum=1.0), time=NOW, start=1)
    )
    for _ in range(2):  # it goes to and fro
        kernel.encode(metrics(lambda into: into.gauge("h_count").add(1, time=NOW)).payload, NOW)
        requests, owners, reasons = kernel.encode(histogram.payload, NOW)
        names = [[dict(one.labels)["__name__"] for one in read(content, second=False)] for content, *_ in requests]
        assert names == [["h_bucket", "h_bucket", "h_sum", "h_count"]]
        assert (owners, reasons) == (bytes(4), {})


def test_of_points_in_one_millisecond_the_newest_stays():
    """By nanoseconds, whatever their order; the others are rejected, as Prometheus would keep the first alone."""
    assert newest((NOW + 2, 2.0), (NOW + 1, 1.0), (NOW, 3.0)) == ([(0, bits(2.0))], {"duplicate": 2})


def test_of_points_at_one_time_the_last_stays():
    """Two processes without `service.instance.id` may write to one series."""
    assert newest((NOW, 2.0), (NOW, 1.0), (NOW + 10**6, 5.0)) == ([(0, bits(1.0)), (1, bits(5.0))], {"duplicate": 1})


def test_points_that_say_the_same_are_one_sample():
    """Nothing is lost with the repetition."""
    assert newest((NOW, 2.0), (NOW + 10**6, 4.0), (NOW, 2.0)) == ([(0, bits(2.0)), (1, bits(4.0))], {})


def test_a_histogram_that_lost_a_bucket_goes_as_a_whole():
    """Its sum beside the newer one's buckets would belong to neither."""

    def write(into):
        spread = into.histogram("h")
        spread.add_histogram(Histogram((1.0, 2.0), (1, 2, 3), sum=1.0), time=NOW)
        spread.add_histogram(Histogram((1.0,), (1, 2)), time=NOW + 1)

    kernel = encoder(SeriesNames(Rules(), target_info=False))
    requests, _, reasons = kernel.encode(metrics(write).payload, NOW)
    found = all_series(requests, second=False)
    told = {(dict(labels)["__name__"], dict(labels).get("le")): one.samples[0][2] for labels, one in found.items()}
    assert told == {
        ("h_bucket", "1"): bits(1.0), ("h_bucket", "+Inf"): bits(3.0), ("h_count", None): bits(3.0),
    }  # fmt: skip
    assert reasons == {"duplicate": 1}


@pytest.mark.parametrize(("ahead", "reasons"), [(600, {}), (601, {"future": 1})])
def test_points_far_ahead_of_the_clock_are_left_out(ahead, reasons):
    """One of them would have Prometheus refuse all that comes after it, of every series."""
    batch = metrics(lambda into: into.gauge("g").add(1, time=NOW + ahead * 10**9))
    assert encoder(SeriesNames(Rules())).encode(batch.payload, NOW)[2] == reasons


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda into: into.summary("s").add_summary(1, 1.0, [(1.5, 1.0)], time=NOW), "quantiles"),
        (lambda into: into.summary("s").add_summary(1, 1.0, [(float("nan"), 1.0)], time=NOW), "quantiles"),
        (
            lambda into: into.exponential("e").add_exponential(
                ExponentialHistogram(8, (2**31 - 9, (1,)), sum=1.0), time=NOW
            ),
            "buckets",
        ),
        (
            lambda into: into.histogram("h").add_histogram(Histogram((float("nan"),), (1, 2)), time=NOW),
            "buckets",
        ),
    ],
)
def test_what_cannot_be_is_left_out(write, reason):
    """The exporter for scrapers refuses the same."""
    kernel = encoder(SeriesNames(Rules()))
    assert kernel.encode(metrics(write).payload, NOW)[2] == {reason: 1}


def test_a_bound_of_infinity_is_the_last_bucket():
    """A histogram that writes it out has no second series of the same labels."""
    value = Histogram((1.0, float("inf")), (1, 2, 3), sum=1.0)
    batch = metrics(lambda into: into.histogram("h").add_histogram(value, time=NOW))
    found = all_series(encoder(SeriesNames(Rules())).encode(batch.payload, NOW)[0], second=False)
    told = {dict(labels)["le"]: one.samples[0][2] for labels, one in found.items() if "le" in dict(labels)}
    assert told == {"1": bits(1.0), "+Inf": bits(6.0)}


def test_a_quantile_that_comes_twice_is_one_series():
    """The last one stays."""
    batch = metrics(lambda into: into.summary("s").add_summary(1, 1.0, [(0.5, 1.0), (0.5, 2.0)], time=NOW))
    found = all_series(encoder(SeriesNames(Rules())).encode(batch.payload, NOW)[0], second=False)
    assert [one.samples[0][2] for labels, one in found.items() if "quantile" in dict(labels)] == [bits(2.0)]
