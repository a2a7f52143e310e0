"""A folder full of things that are no logs, and patterns that would lead in circles."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from sluiceway.errors import ConfigError
from sluiceway.stanza.files.matching import compile_glob, find
from tests.stanza.files.machine import Reading, file_settings


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    """A FIFO, a socket, a device, a folder and dangling or circular links among the matches neither hang nor fail."""
    (tmp_path / "a.log").write_text("one\n")
    os.mkfifo(tmp_path / "fifo.log")
    (tmp_path / "folder.log").mkdir()
    (tmp_path / "null.log").symlink_to("/dev/zero")
    (tmp_path / "dangling.log").symlink_to(tmp_path / "nothing")
    (tmp_path / "loop.log").symlink_to(tmp_path / "loop.log")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.log"))
        reading = Reading(f"{{include: ['{tmp_path}/*.log'], start_at: beginning}}")
        reading.poll()
        reading.stop()
    assert reading.bodies == ["one"]
    assert list(reading.tracking.problems.values()) == [
        f"cannot read {tmp_path}/loop.log: Too many levels of symbolic links"
    ]


def test_circles_of_folders_end(tmp_path: Path) -> None:
    """`**` does not follow links, so that two that lead back do not make 2^40 paths."""
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "x.log").write_text("one\n")
    for name in ("c", "d", "e"):
        (inner / name).symlink_to(tmp_path)
    began = time.process_time()
    assert list(find(f"{tmp_path}/**/*.log")) == [str(inner / "x.log")]
    assert time.process_time() - began < 1


def test_two_names_of_one_file_are_one(tmp_path: Path) -> None:
    """Hard and symbolic links do not make lines come twice."""
    (tmp_path / "a.log").write_text("one\n")
    (tmp_path / "b.log").symlink_to(tmp_path / "a.log")
    (tmp_path / "c.log").hardlink_to(tmp_path / "a.log")
    reading = Reading(f"{{include: ['{tmp_path}/*'], start_at: beginning}}")
    reading.poll()
    reading.stop()
    assert reading.bodies == ["one"]


def test_thousands_of_files_are_read_with_few_open(tmp_path: Path) -> None:
    """No more than `max_concurrent_files` are open, each line comes once, and nothing is read that did not change."""
    for number in range(3000):
        (tmp_path / f"{number}.log").write_text(f"{number} first\n")
    reading = Reading(f"{{include: ['{tmp_path}/*.log'], start_at: beginning, max_concurrent_files: 100}}")
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    began = time.process_time()
    reading.poll()
    assert len(list(Path("/proc/self/fd").iterdir())) <= open_before + 100
    for number in range(0, 3000, 10):
        with (tmp_path / f"{number}.log").open("a") as file:
            file.write(f"{number} second\n")
    reading.poll()
    spent = time.process_time() - began
    reading.poll()
    assert reading.read() == []
    reading.stop()
    assert sorted(reading.bodies) == sorted(
        [f"{number} first" for number in range(3000)] + [f"{number} second" for number in range(0, 3000, 10)]
    )
    assert spent < 10


def test_files_that_begin_alike_are_two_once_they_differ(tmp_path: Path) -> None:
    """Equal first bytes do not make one file of two (which the Collector does), even beyond the fingerprint."""
    same = "# the same header\n" * 100
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"{same}{name}\n")
    reading = Reading(f"{{include: ['{tmp_path}/*'], start_at: beginning}}")
    reading.poll()
    for name in ("a", "b"):
        with (tmp_path / name).open("a") as file:
            file.write(f"{name} more\n")
    reading.poll()
    reading.stop()
    assert sorted(body for body in reading.bodies if body[0] != "#") == ["a", "a more", "b", "b more"]


def test_a_name_that_is_no_text_is_a_name(tmp_path: Path) -> None:
    """A file's name is bytes that somebody chose; it becomes an attribute that can be sent, and a line in no log."""
    from sluiceway.otlp import Signal, accept
    from sluiceway.stanza import encode

    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n\x1b.log"))).write_text("one\n")
    reading = Reading(f"{{include: ['{tmp_path}/*.log'], start_at: beginning}}")
    reading.poll()
    restarted = dict(reading.store)
    reading.stop()
    reading.start()
    reading.poll()
    reading.stop()
    assert reading.bodies == ["one"]
    assert restarted
    assert accept(Signal.LOGS, encode(reading.entries)).items == 1


def test_a_hole_of_gigabytes_costs_itself(tmp_path: Path) -> None:
    """What a writer leaves that does not append, after a truncation, is one record that is too long."""
    log = tmp_path / "a"
    with log.open("wb") as file:
        file.truncate(300_000_000)
        file.seek(0, 2)
        file.write(b"\none\n")
    began = time.process_time()
    reading = Reading(f"{{include: ['{log}'], start_at: beginning, max_log_size_behavior: truncate}}")
    reading.poll()
    reading.stop()
    assert reading.bodies[-1] == "one"
    assert len(reading.bodies) == 2
    assert time.process_time() - began < 5


@pytest.mark.parametrize(("pattern", "path", "fits"), [
    ("/a/*.log", "/a/x.log", True), ("/a/*.log", "/a/b/x.log", False), ("/a/**/x.log", "/a/x.log", True),
    ("/a/**/x.log", "/a/b/c/x.log", True), ("/a/**", "/a/b/c", True), ("/a/?.log", "/a/xy.log", False),
    ("/a/[x-z].log", "/a/y.log", True), ("/a/[^x-z].log", "/a/y.log", False), ("/a/[!x].log", "/a/y.log", True),
    ("/a/{x,y*}.log", "/a/yes.log", True), ("/a/{x,y}.log", "/a/z.log", False), ("/a/*", "/a/.hidden", True),
    ("/a//./b", "/a/b", True), (r"/a/\*", "/a/*", True), (r"/a/\*", "/a/x", False), ("/a/(b)+.log", "/a/bb.log", False),
])  # fmt: skip
def test_patterns(pattern, path, fits) -> None:
    """They mean what they mean to the Collector."""
    assert bool(compile_glob(pattern).fullmatch(path)) is fits


def test_patterns_find_what_they_match(tmp_path: Path) -> None:
    """Walking finds the files whose paths match, through links that are written out or matched by `*`."""
    paths = ["a/x.log", "a/b/y.log", "a/.h/z.log", "c/w.txt"]
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    found = lambda pattern: [path.removeprefix(f"{tmp_path}/") for path in find(f"{tmp_path}/{pattern}")]  # noqa: E731
    assert found("a/*.log") == ["a/x.log"]
    assert found("**/*.log") == ["a/x.log", "a/.h/z.log", "a/b/y.log"]
    assert found("*/x.log") == ["a/x.log", "link/x.log"]
    assert found("{a,c}/*") == ["a/.h", "a/b", "a/x.log", "c/w.txt"]
    assert found("nothing/*") == []


def test_ordering_criteria(tmp_path: Path) -> None:
    """Of each group the best are read, by numbers or times in their names; other files are left out."""
    for name in ("a-2.log", "a-10.log", "a-9.log", "b-1.log", "other.log"):
        (tmp_path / name).write_text(f"{name}\n")
    reading = Reading(
        f"""
        include: ['{tmp_path}/*']
        start_at: beginning
        ordering_criteria:
          regex: '^\\w-(?P<number>\\d+)'
          group_by: '^(?P<group>\\w)-'
          top_n: 2
          sort_by: [{{sort_type: numeric, regex_key: number}}]
        """
    )
    reading.poll()
    reading.stop()
    assert sorted(reading.bodies) == ["a-10.log", "a-9.log", "b-1.log"]


def test_old_files_are_left_out(tmp_path: Path) -> None:
    """Those that were not written to for `exclude_older_than`."""
    for name, age in (("a", 50), ("b", 500)):
        (tmp_path / name).write_text(f"{name}\n")
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    reading = Reading(f"{{include: ['{tmp_path}/*'], start_at: beginning, exclude_older_than: 100s}}")
    reading.poll()
    reading.stop()
    assert reading.bodies == ["a"]


@pytest.mark.parametrize(("on_truncate", "expected"), [
    ("read_whole_file", ["old old", "new", "later"]), ("read_new", ["old old", "later"]),
])  # fmt: skip
def test_on_truncate(tmp_path: Path, on_truncate, expected) -> None:
    """A file that became shorter is read from its beginning, or from its new end."""
    log = tmp_path / "a"
    log.write_text("old old\n")
    reading = Reading(f"{{include: ['{log}'], start_at: beginning, on_truncate: {on_truncate}}}")
    reading.poll()
    log.write_text("new\n")
    reading.poll()
    with log.open("a") as file:
        file.write("later\n")
    reading.poll()
    reading.stop()
    assert reading.bodies == expected


def test_a_file_that_was_rewritten_is_read_anew_though_its_end_looks_the_same(tmp_path: Path) -> None:
    """It grew beyond what was read between two looks, and differs in its first line only."""
    log = tmp_path / "a"
    filler = "".join(f"the same line {number}\n" for number in range(20))
    log.write_text("one\n" + filler)
    reading = Reading(f"{{include: ['{log}'], start_at: beginning}}")
    reading.poll()
    log.write_text("two\n" + filler + "more\n")
    reading.poll()  # finds out
    reading.poll()
    reading.stop()
    assert reading.bodies[21:] == ["two", *filler.splitlines(), "more"]


def test_files_are_ordered_by_times_without_a_year(tmp_path: Path) -> None:
    """Such a time is the latest one that is not in the future."""
    for name in ("a-06-15.log", "a-11-20.log", "a-01-05.log"):
        (tmp_path / name).write_text(f"{name}\n")
    reading = Reading(
        f"""
        include: ['{tmp_path}/*']
        start_at: beginning
        ordering_criteria:
          regex: '^a-(?P<day>.*)\\.log'
          top_n: 2
          sort_by: [{{sort_type: timestamp, regex_key: day, layout: '%m-%d', location: UTC}}]
        """
    )
    reading.now = 1_795_651_200.0  # 26 November 2026
    reading.start()
    reading.poll()
    reading.stop()
    assert sorted(reading.bodies) == ["a-06-15.log", "a-11-20.log"]


@pytest.mark.parametrize("pattern", ["[z-a]", "/", ".", "a[!]b"])
def test_a_pattern_that_makes_no_sense_is_refused(pattern: str) -> None:
    """When the configuration is read, and not when files are looked for."""
    with pytest.raises(ConfigError, match="include"):
        file_settings(f"{{include: ['{pattern}']}}")
