"""Globs: which keys they stand for."""

from __future__ import annotations

import time

import pytest

from sluiceway.personal.globs import Globs


@pytest.mark.parametrize(
    ("glob", "key", "stands"),
    [
        ("password", "password", True),
        ("password", "Password", True),
        ("PASSWORD", "db.password", True),
        ("password", "passwords", False),
        ("authorization", "http.request.header.authorization", True),
        ("enduser.id", "enduser.id", True),
        ("enduser.id", "x.enduser.id", False),
        ("user.*", "user.name", True),
        ("user.*", "user.a.b", True),
        ("user.*", "user", False),
        ("user.*", "enduser.name", False),
        ("*token*", "x.access_tokens", True),
        ("?d", "id", True),
        ("?d", "a.id", True),
        ("?d", "iid", False),
        ("a+b", "a+b", True),
        ("*", "anything.at all", True),
    ],
)
def test_a_glob_stands_for_keys(glob: str, key: str, stands: bool) -> None:
    """Of any case; without a dot for the last part of a key as well; with one for the whole key."""
    assert list(Globs([[glob]]).matching(key)) == ([0] if stands else [])


def test_all_lists_that_have_a_key_are_told() -> None:
    """By their places."""
    assert set(Globs([["a"], ["b", "a*"], ["x.*"], ["x.a"]]).matching("x.a")) == {0, 1, 2, 3}


def test_ten_thousand_globs_cost_little() -> None:
    """A key is looked up in ten thousand lists in a few milliseconds."""
    globs = Globs([[f"service{number}.*", f"name{number}"] for number in range(10_000)])
    start = time.thread_time()
    assert list(globs.matching("service9999.x")) == [9999]
    assert time.thread_time() - start < 0.1


def test_a_key_costs_time_in_proportion_to_its_length() -> None:
    """However many stars a glob has, and whatever in the key makes them begin anew."""
    globs = Globs([["*token*"], ["a*b*c*d"]])
    start = time.thread_time()
    assert list(globs.matching("a.b.c." * 10_000)) == []
    assert list(globs.matching("." * 50_000 + "naïve-tokens")) == [0]
    assert time.thread_time() - start < 0.1
