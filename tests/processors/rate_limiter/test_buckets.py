"""Buckets: what they hold, what comes back, and that there are never too many of them."""

from __future__ import annotations

import time
import timeit
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.processors.rate_limiter.buckets import Buckets, Limit

TEN = Limit.of(10, 20)


def buckets(max_keys: int = 100, **exceptions: Limit | None) -> Buckets:
    """Ten tokens a second, twenty at most."""
    return Buckets(TEN, exceptions, max_keys)


def test_a_burst_that_is_left_out_is_what_comes_in_a_second() -> None:
    """And never less than one token, or nothing would ever pass."""
    assert [Limit.of(50, 0).burst, Limit.of(0.1, 0).burst, Limit.of(50, 7).burst] == [50, 1, 7]


class Naive:
    """One bucket as it is usually described: a number of tokens that is refilled before each look."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.tokens = limit.burst
        self.at = 0.0

    def look(self, now: float) -> float:
        """Refill and tell."""
        self.tokens = min(self.limit.burst, self.tokens + (now - self.at) * self.limit.rate)
        self.at = now
        return self.tokens


@given(st.lists(st.tuples(st.floats(0, 5), st.sampled_from(["a", "b", "c"]), st.integers(0, 40)), max_size=60))
def test_buckets_are_token_buckets(steps: list[tuple[float, str, int]]) -> None:
    """Against counting tokens: the same balance at every moment, whatever is spent, into debt as well."""
    made, now = buckets(c=Limit.of(3, 5)), 0.0
    naive = {"a": Naive(TEN), "b": Naive(TEN), "c": Naive(Limit.of(3, 5))}
    for seconds, key, tokens in steps:
        now += seconds
        assert made.tokens(key, now) == pytest.approx(naive[key].look(now), abs=1e-6)
        made.spend(key, tokens, now)
        naive[key].tokens -= tokens
        assert made.tokens(key, now) == pytest.approx(naive[key].look(now), abs=1e-6)


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 30), st.booleans()), max_size=40), st.randoms())
def test_what_is_given_back_is_never_more_than_was_taken(steps: list[tuple[float, int, bool]], random) -> None:
    """Against a bucket that only those visit who keep what they took: nobody gains by the others' coming and going."""
    made, naive, now, open_ = buckets(), Naive(TEN), 0.0, []
    for seconds, tokens, keeps in steps:
        now += seconds
        if keeps:
            made.spend("a", tokens, now)
            naive.look(now)
            naive.tokens -= tokens
        else:
            open_.append(made.spend("a", tokens, now))
        if open_ and random.random() < 0.6:
            open_.pop(random.randrange(len(open_))).give_back(now)
        assert made.tokens("a", now) <= naive.look(now) + 1e-6


def test_what_is_given_back_at_once_was_never_spent() -> None:
    """To the token."""
    made = buckets()
    made.spend("a", 12, 0)
    before = made.tokens("a", 0.5)
    made.spend("a", 30, 0.5).give_back(0.5)
    assert made.tokens("a", 0.5) == pytest.approx(before)


def test_waiting_as_long_as_told_suffices() -> None:
    """Then there are so many tokens, and a moment before there are not."""
    made = buckets()
    made.spend("a", 55, 0)
    wait = made.wait("a", 1, 0)
    assert wait == pytest.approx(3.6)
    assert made.wait("a", 1, wait, 1e-6) == 0
    assert made.wait("a", 1, wait - 0.01, 1e-6) > 0


def test_a_key_without_limit_has_all_the_tokens() -> None:
    """It spends and gives back without a trace."""
    made = buckets(free=None)
    made.spend("free", 10**9, 0).give_back(0)
    assert (made.tokens("free", 0), made.wait("free", 1, 0), len(made)) == (inf, 0, 0)


def test_full_buckets_make_room_and_buckets_in_use_do_not() -> None:
    """With every place taken by those who still owe, a new key shares a bucket with all other new ones."""
    made = buckets(max_keys=2)
    made.spend("a", 20, 0)
    made.spend("b", 20, 0)
    made.spend("c", 5, 0)
    assert [made.tokens(key, 0) for key in "abcd"] == [0, 0, 15, 15]
    made.spend("c", 5, 2)
    made.spend("d", 7, 2)
    assert [made.tokens(key, 2) for key in "abcd"] == pytest.approx([20, 20, 15, 13])
    assert len(made) == 2


def test_who_has_a_limit_of_their_own_always_has_a_bucket() -> None:
    """Invented names do not take it."""
    made = buckets(max_keys=1, acme=Limit.of(1, 1))
    made.spend("invented", 20, 0)
    made.spend("acme", 1, 0)
    assert (made.tokens("acme", 0), made.tokens("another", 0)) == (0, 20)


def test_invented_names_cost_neither_memory_nor_time() -> None:
    """Twenty thousand names leave no more than the bound, and each costs microseconds, in use or not."""
    made = buckets(max_keys=1000)

    def flood() -> None:
        for number in range(20_000):
            made.spend(f"name-{number}", 15, number / 1e6)

    assert timeit.timeit(flood, number=1, timer=time.process_time) < 1
    assert len(made) == 1000
