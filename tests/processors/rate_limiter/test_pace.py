"""Adaptive rates: down by a factor, up bit by bit, and what that means for time."""

from __future__ import annotations

import pytest
import yaml

from sluiceway.processors.rate_limiter.pace import AdaptiveConfig, Pace


class Time:
    """Seconds that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def pace(text: str = "{}") -> tuple[Pace, Time]:
    """A pace with its clock."""
    time = Time()
    return Pace(AdaptiveConfig.model_validate(yaml.safe_load(text)), time), time


def test_a_refusal_cuts_the_rates_once_an_interval() -> None:
    """A hundred refusals at once are one sign, not a hundred."""
    made, time = pace("{decrease: 0.5, interval: 1s}")
    for _ in range(100):
        made.learn(time.now, is_refused=True)
    assert made.share == 0.5
    time.now += 1
    made.learn(time.now, is_refused=True)
    assert made.share == 0.25


def test_what_began_before_the_cut_leads_to_no_other_one() -> None:
    """It does not tell whether the cut was enough."""
    made, time = pace("{interval: 1s}")
    began = time.now
    time.now += 5
    made.learn(began, is_refused=False)
    time.now += 5
    made.learn(began, is_refused=False)
    assert made.share == 0.5


def test_slow_batches_are_a_sign_unless_latency_is_switched_off() -> None:
    """Slower than the latency, that is."""
    for text, share in (("latency: 2s", 0.5), ("latency: 0s", 1.0), ("latency: 4s", 1.0)):
        made, time = pace(text)
        time.now += 3
        made.learn(time.now - 3, is_refused=False)
        assert made.share == share


def test_rates_come_back_bit_by_bit_while_all_is_well() -> None:
    """Each interval without a sign adds the same part, up to the whole."""
    made, time = pace("{decrease: 0.5, increase: 0.2, interval: 1s}")
    made.learn(time.now, is_refused=True)
    shares = []
    for _ in range(8):
        time.now += 0.5
        made.learn(time.now, is_refused=False)
        shares.append(round(made.share, 3))
    assert shares == [0.5, 0.7, 0.7, 0.9, 0.9, 1.0, 1.0, 1.0]


def test_rates_never_fall_below_the_minimum() -> None:
    """Something always passes, or nobody would learn that all is well again."""
    made, time = pace("{minimum: 0.1}")
    for _ in range(50):
        time.now += 2
        made.learn(time.now, is_refused=True)
    assert (made.share, made.is_lowest) == (0.1, True)


def test_time_passes_at_the_share() -> None:
    """What has passed stays, and a wait is told in real seconds."""
    made, time = pace("{decrease: 0.25}")
    start = made.time()
    time.now += 10
    made.learn(time.now, is_refused=True)
    time.now += 8
    assert made.time() - start == pytest.approx(10 + 8 * 0.25)
    assert made.seconds(3) == 12


def test_without_settings_it_is_the_clock() -> None:
    """Nothing is learned."""
    time = Time()
    made = Pace(None, time)
    time.now += 7
    made.learn(0, is_refused=True)
    assert (made.time(), made.share, made.is_lowest) == (1007.0, 1.0, False)
