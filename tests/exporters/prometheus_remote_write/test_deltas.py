"""Delta points added up: the sums are what plain Python adds up, and what was taken back is as if it never came."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.exporters.prometheus_remote_write.series import SeriesNames
from sluiceway.otlp import join
from sluiceway.otlp.metrics import ExponentialHistogram, Histogram, Temporality
from sluiceway.prometheus.translation import Rules
from tests.exporters.prometheus_remote_write.bench import metrics
from tests.exporters.prometheus_remote_write.reading import Read, number, read
from tests.exporters.prometheus_remote_write.test_encoder import NOW, encoder
from tests.otlp.strategies import checked

SECOND = 10**9
DELTA = Temporality.DELTA
BOUNDS = (0.5, 1.0, 2.0)


def summed(**changed):
    """An encoder that adds up."""
    names = SeriesNames(Rules(scope_info=False), target_info=False)
    return encoder(names, **({"accumulate": True, "second": True} | changed))


def last(requests) -> dict[tuple[str, str], Read]:
    """The series by name and bound."""
    found = [one for content, *_ in requests for one in read(content, second=True)]
    return {(dict(one.labels)["__name__"], dict(one.labels).get("le", "")): one for one in found}


class Sums:
    """What the points so far add up to, by the rules of OpenTelemetry's data model."""

    def __init__(self) -> None:
        self.integer = 0
        self.double = 0.0
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.total = 0.0
        self.scale = 20
        self.native: tuple[dict[int, int], dict[int, int]] = {}, {}
        self.zeros = 0

    def add(self, random: Random, at: int):
        """Make a batch of one point of each kind, and add it."""
        integer, double = random.randrange(-(2**40), 2**40), random.uniform(-5, 5)
        counts = tuple(random.randrange(100) for _ in self.buckets)
        scale = random.randrange(-4, 21)
        most = int(min(140, 1000 * 2.0**scale))  # where there are doubles, and no more buckets than are kept
        native = ExponentialHistogram(
            scale,
            (random.randrange(-most, most), [random.choice([0, 1, 9]) for _ in range(random.randrange(6))]),
            (random.randrange(-most, most), [random.choice([0, 1, 9]) for _ in range(random.randrange(5))]),
            zero_count=random.randrange(3),
            sum=double,
        )
        self.integer += integer
        self.double += abs(double)
        self.total += double
        self.zeros += native.zero_count
        self.buckets = [old + new for old, new in zip(self.buckets, counts, strict=True)]
        self.merge(native)

        def write(into):
            when = {"time": at, "start": at - SECOND}
            into.sum("whole", monotonic=False, temporality=DELTA).add(integer, **when)
            into.sum("real", temporality=DELTA).add(abs(double), **when)
            into.histogram("spread", temporality=DELTA).add_histogram(Histogram(BOUNDS, counts, sum=double), **when)
            into.exponential("native", temporality=DELTA).add_exponential(native, **when)

        return metrics(write)

    def merge(self, more: ExponentialHistogram) -> None:
        """Add buckets, all made as coarse as the coarsest, and no finer than Prometheus's finest."""
        scale = min(self.scale, more.scale, 8)
        merged = []
        for mine, (offset, counts) in zip(self.native, (more.positive, more.negative), strict=True):
            side: Counter[int] = Counter()
            for index, count in mine.items():
                side[index >> (self.scale - scale)] += count
            for place, count in enumerate(counts):
                side[(offset + place) >> (more.scale - scale)] += count
            merged.append({index: count for index, count in side.items() if count})
        self.native, self.scale = (merged[0], merged[1]), scale

    def check(self, found: dict[tuple[str, str], Read], start: int) -> None:
        """The newest sample of each series is what was added up, since the first point began."""
        assert number(found["whole", ""].samples[-1][2]) == float(self.integer)
        assert number(found["real_total", ""].samples[-1][2]) == self.double
        assert found["real_total", ""].samples[-1][1] == start
        below = 0
        for bound, count in zip(("0.5", "1", "2", "+Inf"), self.buckets, strict=True):
            below += count
            assert number(found["spread_bucket", bound].samples[-1][2]) == below
        assert number(found["spread_sum", ""].samples[-1][2]) == self.total
        _, began, (count, total, schema, _, zeros, positive, negative) = found["native", ""].histograms[-1]
        assert (began, number(total), schema, zeros) == (start, self.total, self.scale, self.zeros)
        assert dict(positive) == {index + 1: count for index, count in self.native[0].items()}
        assert dict(negative) == {index + 1: count for index, count in self.native[1].items()}
        assert count == sum(self.native[0].values()) + sum(self.native[1].values()) + self.zeros


@given(seed=st.integers(0, 2**32), cached=st.sampled_from([1, 1 << 26]))
@checked
def test_deltas_add_up(seed, cached):
    """Whether or not the encoder forgets names meanwhile, and batches are taken back in between, or come again."""
    random = Random(seed)
    kernel, sums = summed(max_cached=cached), Sums()
    for step in range(8):
        at = NOW + step * SECOND
        if random.random() < 0.3:
            kernel.encode(Sums().add(random, at).payload, at)
            kernel.revert()
            continue
        was_first = kernel.delta_series == 0 or sums.zeros == sums.integer == 0
        if was_first:
            start = (at - SECOND) // 10**6
        batch = sums.add(random, at)
        for again in (False, True):
            requests, _, reasons = kernel.encode(batch.payload, at, again=again)
            assert not reasons
            sums.check(last(requests), start)


def test_integers_add_up_exactly():
    """Where doubles would lose what is small, until a sum is beyond 64 bits."""
    kernel = summed()

    def step(at, value):
        batch = metrics(lambda into: into.sum("n", temporality=DELTA).add(value, time=at, start=at - 1))
        requests, _, _ = kernel.encode(batch.payload, at)
        return number(last(requests)["n_total", ""].samples[-1][2])

    assert step(NOW, 2**53) == 2.0**53
    assert step(NOW + 1, 1) == 2.0**53  # as a double it is the same
    assert step(NOW + 2, 1) == float(Fraction(2**53 + 2))
    assert step(NOW + 3, 2**63 - 1) == 2.0**63 + 2.0**53


def test_a_point_that_is_not_newer_is_left_out():
    """A repetition or a late one would be counted twice, or out of order."""
    kernel = summed()
    batch = metrics(lambda into: into.sum("n", temporality=DELTA).add(1, time=NOW, start=NOW - 1))
    assert kernel.encode(batch.payload, NOW)[2] == {}
    assert kernel.encode(batch.payload, NOW)[2] == {"out of order": 1}


def test_what_gets_nothing_for_long_is_forgotten():
    """It makes room, and begins anew."""
    kernel = summed(max_streams=1)

    def encode(name, at):
        batch = metrics(lambda into: into.sum(name, temporality=DELTA).add(2, time=at, start=at - 1))
        return kernel.encode(batch.payload, at)

    encode("a", NOW)
    assert encode("b", NOW + 1)[2] == {"max_streams": 1}
    kernel.expire(NOW + 1)
    assert kernel.delta_series == 0
    requests, _, reasons = encode("b", NOW + 2)
    assert (reasons, number(last(requests)["b_total", ""].samples[0][2])) == ({}, 2.0)
    kernel.expire(NOW + 3)
    assert number(last(encode("b", NOW + 4)[0])["b_total", ""].samples[0][2]) == 2.0


def natives(*values: ExponentialHistogram):
    """What deltas of one series have become at last."""
    kernel = summed()
    for step, value in enumerate(values):
        at = NOW + step * SECOND
        batch = metrics(
            lambda into, at=at, value=value: into.exponential("e", temporality=DELTA).add_exponential(
                value, time=at, start=at - 1
            )
        )
        requests, _, reasons = kernel.encode(batch.payload, at)
        assert not reasons
    return last(requests)["e", ""].histograms[-1][2]


def test_buckets_that_lie_far_apart_become_coarse():
    """As coarse as it takes for no more than are kept of one sign, all of them counted."""
    far = 1000 << 8
    count, _, scale, _, _, positive, _ = natives(
        ExponentialHistogram(8, (-far, (1,)), sum=1.0), ExponentialHistogram(8, (far, (2,)), sum=1.0)
    )
    assert (count, scale) == (3, -3)
    assert positive == ((-1000 // 8 + 1, 1), (1000 // 8 + 1, 2))


def test_a_threshold_that_grows_takes_in_what_lies_below():
    """Buckets below it become zeros; one that it cuts goes whole, and raises it."""
    small = ExponentialHistogram(0, (0, (1, 2, 4, 8)), zero_count=1, sum=1.0)  # from 1, 2, 4, and 8 on
    wide = ExponentialHistogram(0, (2, (16,)), zero_count=32, zero_threshold=3.0, sum=1.0)
    for pair in ((small, wide), (wide, small)):
        count, _, _, threshold, zeros, positive, _ = natives(*pair)
        assert (count, threshold, zeros) == (64, 4.0, 36)
        assert positive == ((3, 20), (4, 8))


def test_other_bounds_begin_anew():
    """As in the exporter for scrapers: to Prometheus a reset, which the new start says."""
    kernel = summed()

    def encode(at, *value):
        batch = metrics(
            lambda into: into.histogram("h", temporality=DELTA).add_histogram(
                Histogram(*value, sum=1.0), time=at, start=at - SECOND
            )
        )
        return last(kernel.encode(batch.payload, at)[0])

    encode(NOW, (1.0,), (1, 2))
    assert number(encode(NOW + SECOND, (1.0,), (1, 2))["h_count", ""].samples[0][2]) == 6
    found = encode(NOW + 2 * SECOND, (1.0, 2.0), (1, 2, 3))
    assert number(found["h_count", ""].samples[0][2]) == 6
    assert found["h_count", ""].samples[0][1] == (NOW + SECOND) // 10**6


@given(seed=st.integers(0, 2**32))
@checked
def test_deltas_of_a_batch_are_added_up_in_the_order_of_their_times(seed):
    """However they stand in it."""
    random = Random(seed)
    sums = Sums()
    batches = [sums.add(random, NOW + step * SECOND) for step in range(5)]
    shuffled = random.sample(batches, len(batches))
    straight, _, _ = summed().encode(join(batches).payload, NOW)
    requests, _, reasons = summed().encode(join(shuffled).payload, NOW)
    assert not reasons
    assert last(requests) == last(straight)
    sums.check(last(requests), (NOW - SECOND) // 10**6)


def test_a_delta_in_the_same_millisecond_is_in_the_sum():
    """One sample tells of both, and none is rejected."""
    batch = metrics(
        *(lambda into, n=n: into.sum("n", temporality=DELTA).add(5, time=NOW + n, start=NOW + n - 1) for n in range(2))
    )
    requests, _, reasons = summed().encode(batch.payload, NOW)
    assert reasons == {}
    assert [number(bits) for _, _, bits in last(requests)["n_total", ""].samples] == [10.0]


def test_one_request_of_a_batch_is_taken_back():
    """What the others added stays."""
    kernel = summed(max_bytes=1)

    def batch(at):
        return metrics(
            *(lambda into, n=n: into.sum(n, temporality=DELTA).add(5, time=at, start=at - 1) for n in ("a", "b"))
        )

    kernel.encode(batch(NOW).payload, NOW)
    kernel.encode(batch(NOW + 1).payload, NOW)
    kernel.revert(1)
    found = last(kernel.encode(batch(NOW + 2).payload, NOW)[0])
    assert {name: number(one.samples[0][2]) for (name, _), one in found.items()} == {"a_total": 15.0, "b_total": 10.0}


def test_what_comes_again_has_the_newest_sums():
    """Deltas that were not taken back are not added once more, whatever came after them."""
    kernel = summed()

    def batch(at, *names):
        return metrics(*(lambda into, n=n: into.sum(n, temporality=DELTA).add(5, time=at, start=at - 1) for n in names))

    first = batch(NOW, "a", "b").payload
    kernel.encode(first, NOW)
    kernel.encode(batch(NOW + SECOND, "a").payload, NOW)
    requests, _, reasons = kernel.encode(first, NOW, again=True)
    assert reasons == {}
    assert {name: (one.samples[0][0], number(one.samples[0][2])) for (name, _), one in last(requests).items()} == {
        "a_total": ((NOW + SECOND) // 10**6, 10.0), "b_total": (NOW // 10**6, 5.0)
    }  # fmt: skip


def test_what_comes_again_after_its_bounds_have_changed_is_left_out():
    """There is no sum any more that it would be in."""
    kernel = summed()

    def batch(at, *bounds):
        value = Histogram(bounds, (1,) * (len(bounds) + 1), sum=1.0)
        return metrics(
            lambda into: into.histogram("h", temporality=DELTA).add_histogram(value, time=at, start=at - 1)
        ).payload

    few = batch(NOW, 1.0)
    kernel.encode(few, NOW)
    kernel.encode(batch(NOW + SECOND, *map(float, range(100))), NOW)
    requests, _, reasons = kernel.encode(few, NOW, again=True)
    assert (requests, reasons) == ([], {"out of order": 1})


def test_a_resource_says_its_latest_time_again_after_a_refusal():
    """What told of it was taken back with the batch."""
    names = SeriesNames(Rules(scope_info=False))
    kernel = encoder(names, second=True)
    batch = metrics(lambda into: into.gauge("g").add(1, time=NOW))
    for _ in range(2):
        requests, _, _ = kernel.encode(batch.payload, NOW)
        assert [has_points for *_, has_points in requests] == [True, False]
        kernel.revert()
    kernel.encode(batch.payload, NOW)
    assert len(kernel.encode(batch.payload, NOW)[0]) == 1


@pytest.mark.parametrize("bad", [-3, -0.5, float("nan"), float("inf")])
def test_a_delta_that_no_counter_can_have_is_refused(bad: float) -> None:
    """It would stay in the sum for ever, or make the counter fall."""
    kernel = summed()
    told = []
    for place, value in enumerate((5, bad, 1)):
        at = NOW + place * SECOND
        batch = metrics(
            lambda into, v=value, at=at: into.sum("a", temporality=DELTA).add(v, time=at, start=at - SECOND)
        )
        requests, _, reasons = kernel.encode(batch.payload, at)
        told.append(bool(reasons))
    assert told == [False, True, False]
    assert number(last(requests)["a_total", ""].samples[-1][2]) == 6
