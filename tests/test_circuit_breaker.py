"""The circuit breaker's states, without I/O."""

from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.circuit_breaker import Breaker, Call, Outcome, State
from sluiceway.config.exporter import CircuitBreaker


class Time:
    """Seconds that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def breaker(text: str = "{}", random: float = 0.5) -> tuple[Breaker, Time]:
    """A breaker and its clock."""
    time = Time()
    return Breaker(CircuitBreaker.model_validate(yaml.safe_load(text)), time, lambda: random), time


def call(machine: Breaker, *outcomes: Outcome) -> None:
    """Make calls that end so."""
    for outcome in outcomes:
        begun = machine.begin()
        assert begun is not None
        machine.end(begun, outcome)


GOOD, BAD, VOID = Outcome.SUCCESS, Outcome.FAILURE, Outcome.VOID


def test_opens_after_failures_in_a_row() -> None:
    """A success in between starts the count again; calls without a verdict do not count."""
    machine, _ = breaker("consecutive_failures: 3")
    call(machine, BAD, BAD, GOOD, BAD, VOID, BAD)
    assert machine.state is State.CLOSED
    call(machine, BAD)
    assert machine.state is State.OPEN
    assert machine.begin() is None


def test_opens_on_a_ratio_of_failures_but_not_before_enough_calls() -> None:
    """Half of ten calls."""
    machine, _ = breaker("{consecutive_failures: 0, failure_ratio: 0.5, minimum_calls: 10}")
    call(machine, *[BAD] * 5, *[GOOD] * 4)
    assert machine.state is State.CLOSED
    call(machine, GOOD)
    assert machine.state is State.OPEN


def test_failures_leave_the_window_with_time() -> None:
    """What is older than the window does not count."""
    machine, time = breaker("{consecutive_failures: 0, minimum_calls: 10, window: 10s}")
    call(machine, *[BAD] * 9)
    time.now += 11
    call(machine, BAD, *[GOOD] * 9)
    assert machine.state is State.CLOSED
    assert (machine.statistics().calls, machine.statistics().failures) == (10, 1)


@given(st.lists(st.tuples(st.floats(0, 25), st.booleans()), max_size=60))
def test_the_window_counts_the_calls_of_its_time(steps: list[tuple[float, bool]]) -> None:
    """Against a list of all calls: nothing younger than nine tenths is forgotten, nothing older than it counts."""
    machine, time = breaker("{consecutive_failures: 0, failure_ratio: 0.0, slow_call_duration: 1h, window: 10s}")
    made: list[float] = []
    for seconds, failed in steps:
        time.now += seconds
        call(machine, BAD if failed else GOOD)
        made.append(time.now)
        young = sum(time.now - at < 8.999 for at in made)
        not_old = sum(time.now - at <= 10.001 for at in made)
        assert young <= machine.statistics().calls <= not_old


def test_opens_when_calls_are_slow() -> None:
    """Slow calls count although they succeed."""
    machine, time = breaker("{slow_call_duration: 1s, slow_call_ratio: 0.5, minimum_calls: 4}")
    for seconds in (0.5, 2, 0.5, 2):
        begun = machine.begin()
        assert begun is not None
        time.now += seconds
        machine.end(begun, GOOD)
    assert machine.state is State.OPEN


def test_probes_after_the_delay_and_closes_when_they_succeed() -> None:
    """No more probes than allowed are under way at the same time."""
    machine, time = breaker("{consecutive_failures: 1, open_delay: 5s, half_open_probes: 2}")
    call(machine, BAD)
    assert machine.delay() == 5
    time.now += 5
    first, second = machine.begin(), machine.begin()
    assert machine.state is State.HALF_OPEN
    assert machine.begin() is None
    assert machine.delay() == math.inf
    assert isinstance(first, Call)
    assert isinstance(second, Call)
    machine.end(first, GOOD)
    assert machine.state is State.HALF_OPEN
    machine.end(second, GOOD)
    assert machine.state is State.CLOSED


def test_each_failed_probe_makes_the_delay_longer_up_to_a_maximum() -> None:
    """The delay starts anew once the breaker has been closed."""
    machine, time = breaker("{consecutive_failures: 1, open_delay: 5s, multiplier: 3, max_open_delay: 20s}")
    delays = []
    for outcome in (BAD, BAD, BAD, GOOD, BAD):
        call(machine, outcome)
        delays.append(machine.delay())
        time.now += machine.delay()
    assert delays == [5, 15, 20, 0, 5]


def test_a_slow_probe_fails() -> None:
    """A backend that answers too slowly is not well yet."""
    machine, time = breaker("{consecutive_failures: 1, slow_call_duration: 1s}")
    call(machine, BAD)
    time.now += 5
    probe = machine.begin()
    assert probe is not None
    time.now += 2
    machine.end(probe, GOOD)
    assert machine.state is State.OPEN


def test_a_probe_without_a_verdict_gives_its_place_back() -> None:
    """A cancelled probe must not block the breaker for ever."""
    machine, time = breaker("consecutive_failures: 1")
    call(machine, BAD)
    time.now += 5
    call(machine, VOID, VOID, GOOD)
    assert machine.state is State.CLOSED


def test_the_end_of_an_old_call_says_nothing() -> None:
    """A call from before the breaker opened neither closes it nor opens it again."""
    machine, time = breaker("consecutive_failures: 1")
    old = [machine.begin() for _ in range(2)]
    call(machine, BAD)
    time.now += 5
    probe = machine.begin()
    for begun, outcome in zip(old, (GOOD, BAD), strict=True):
        assert begun is not None
        machine.end(begun, outcome)
    assert machine.state is State.HALF_OPEN
    assert probe is not None
    machine.end(probe, GOOD)
    assert machine.state is State.CLOSED


@pytest.mark.parametrize(("random", "delay"), [(0.0, 4.0), (0.5, 5.0), (1.0, 6.0)])
def test_the_delay_varies_at_random(random: float, delay: float) -> None:
    """Many collectors do not probe in the same moment."""
    machine, _ = breaker("{consecutive_failures: 1, randomization_factor: 0.2}", random)
    call(machine, BAD)
    assert machine.delay() == pytest.approx(delay)


def test_the_delay_can_be_ended() -> None:
    """At shutdown there is no later."""
    machine, _ = breaker("consecutive_failures: 1")
    machine.hasten()
    assert machine.state is State.CLOSED
    call(machine, BAD)
    machine.hasten()
    assert machine.delay() == 0


def test_statistics_tell_what_it_knows() -> None:
    """One frozen record."""
    machine, _ = breaker("consecutive_failures: 3")
    call(machine, GOOD, BAD, BAD)
    known = machine.statistics()
    assert (known.state, known.calls, known.failures, known.failures_in_a_row) == (State.CLOSED, 3, 2, 2)
    call(machine, BAD)
    known = machine.statistics()
    assert (known.state, known.calls, known.opened, known.delay) == (State.OPEN, 0, 1, 5.0)
