"""What is read of a file: records, encodings, bounds, compression, headers."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

import pytest

from sluiceway.errors import ConfigError
from tests.stanza.files.machine import Reading, file_settings


def read(folder: Path, data: bytes, more: str = "", *, name: str = "app.log", wait: bool = True) -> list[object]:
    """The bodies that come of a file."""
    (folder / name).write_bytes(data)
    reading = Reading(f"{{include: ['{folder}/*'], start_at: beginning, {more}}}")
    reading.poll()
    if wait:
        reading.poll(1)
    reading.stop()
    return reading.bodies


@pytest.mark.parametrize(("encoding", "python"), [
    ("utf-8", "utf-8"), ("UTF-8", "utf-8"), ("utf-16le", "utf-16-le"), ("utf-16be", "utf-16-be"), ("big5", "big5"),
    ("shift_jis", "shift_jis"), ("gbk", "gbk"), ("utf-32le", "utf-32-le"),
])  # fmt: skip
def test_encodings(tmp_path: Path, encoding, python) -> None:
    """Text comes out as it was written, also where a line feed's byte is half of a character."""
    lines = ["中文一", "a", "二三"] + (["\u0a0a\u0a00x", "\u000b\u0a0a"] if "utf" in python else [])
    data = "".join(f"{line}\n" for line in lines).encode(python)
    assert read(tmp_path, data, f"encoding: {encoding}") == [line.strip(" \t\r\n") for line in lines]


def test_nop_leaves_bytes(tmp_path: Path) -> None:
    """Nothing is split or decoded."""
    assert read(tmp_path, b"\xff\n\x00 a\n", "encoding: nop") == [b"\xff\n\x00 a\n"]


@pytest.mark.parametrize("encoding", ["utf-17", "base64", "rot13", "utf-16", "zlib", "idna"])
def test_an_encoding_that_is_none_is_refused(encoding) -> None:
    """When the configuration is loaded."""
    with pytest.raises(ConfigError, match="unsupported encoding"):
        file_settings(f"{{encoding: {encoding}}}")


def test_what_is_no_text_is_replaced(tmp_path: Path) -> None:
    """Invalid UTF-8 becomes U+FFFD, a NUL byte stays, and lines around are as they are."""
    data = b"one\n\xff\xfe a\x00b \xc3(\n\xed\xa0\x80\ntwo\n"
    assert read(tmp_path, data) == ["one", "\ufffd\ufffd a\x00b \ufffd(", "\ufffd\ufffd\ufffd", "two"]


@pytest.mark.parametrize(("more", "expected"), [
    ("", ["a"]),
    ("preserve_leading_whitespaces: true", [" \ta"]),
    ("preserve_trailing_whitespaces: true", ["a \r"]),
    ("preserve_leading_whitespaces: true, preserve_trailing_whitespaces: true", [" \ta \r"]),
])  # fmt: skip
def test_blanks(tmp_path: Path, more, expected) -> None:
    """They are taken away around a record, unless they are to be kept."""
    assert read(tmp_path, b" \ta \r\n", more) == expected


@pytest.mark.parametrize(("multiline", "data", "expected"), [
    ("line_start_pattern: '^LOG'", b"x\nLOG a\nb\nLOG c\nLOG d", ["x", "LOG a\nb", "LOG c", "LOG d"]),
    ("line_start_pattern: 'LOG ', omit_pattern: true", b"LOG aLOG bLOG c", ["a", "b", "c"]),
    ("line_end_pattern: 'END$'", b"a\nb END\nc END\nd", ["a\nb END", "c END", "d"]),
    ("line_end_pattern: ';', omit_pattern: true", b"a;b\nc;d", ["a", "b\nc", "d"]),
])  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16le"])
def test_multiline(tmp_path: Path, multiline, data, expected, encoding) -> None:
    """Records begin, or end, where the pattern matches; the last one waits for `force_flush_period`."""
    raw = data.decode().encode("utf-16-le") if encoding != "utf-8" else data
    more = f"multiline: {{{multiline}}}, encoding: {encoding}"
    assert read(tmp_path, raw, more, wait=False) == expected[:-1]
    assert read(tmp_path, raw, more) == expected


def test_the_rest_of_a_line_is_waited_for(tmp_path: Path) -> None:
    """A line without an end is taken once the file was not written to for `force_flush_period`; 0 waits for ever."""
    log = tmp_path / "a"
    log.write_bytes(b"one\ntw")
    reading = Reading(f"{{include: ['{log}'], start_at: beginning, force_flush_period: 1s}}")
    reading.poll()
    reading.poll(0.7)
    with log.open("ab") as file:
        file.write(b"o")
    reading.poll(0.2)
    reading.poll(0.9)
    assert reading.bodies == ["one"]
    reading.poll(0.2)
    assert reading.bodies == ["one", "two"]
    with log.open("ab") as file:
        file.write(b" and\nthree\n")
    reading.poll()
    assert reading.bodies == ["one", "two", "and", "three"]
    assert read(tmp_path, b"x\ny", "force_flush_period: 0s", name="b")[-1] != "y"


@pytest.mark.parametrize(("behavior", "expected"), [
    ("split", ["a", "x" * 100, "x" * 100, "x" * 50, "b", "y" * 100, "y" * 20]),
    ("truncate", ["a", "x" * 100, "b", "y" * 100]),
])  # fmt: skip
@pytest.mark.parametrize("step", [1, 7, 64, 1000])
def test_a_long_record_costs_itself(tmp_path: Path, behavior, expected, step) -> None:
    """It is split or cut at `max_log_size`, and the lines around are whole, however the file is written."""
    data = b"a\n" + b"x" * 250 + b"\nb\n" + b"y" * 120 + b"\n"
    log = tmp_path / "a"
    log.touch()
    reading = Reading(
        f"{{include: ['{log}'], start_at: beginning, max_log_size: 100, max_log_size_behavior: {behavior}}}"
    )
    for start in range(0, len(data), step):
        with log.open("ab") as file:
            file.write(data[start : start + step])
        reading.poll(0.01)
        if start % 50 == 0:
            reading.stop()
            reading.start()
    reading.stop()
    assert reading.bodies == expected


def test_a_line_of_a_hundred_megabytes(tmp_path: Path) -> None:
    """It is passed over in blocks."""
    log = tmp_path / "a"
    with log.open("wb") as file:
        file.write(b"a\n")
        for _ in range(100):
            file.write(b"z" * 1_000_000)
        file.write(b"\nb\n")
    reading = Reading(f"{{include: ['{log}'], start_at: beginning, max_log_size_behavior: truncate}}")
    reading.poll()
    reading.stop()
    assert [len(body) for body in reading.bodies] == [1, 1024 * 1024, 1]


def test_gzip(tmp_path: Path) -> None:
    """Members one behind the other are read, and what is appended; a position holds through a restart."""
    log = tmp_path / "a.gz"
    log.write_bytes(gzip.compress(b"one\n" * 50_000) + gzip.compress(b"two\n"))
    (tmp_path / "plain").write_text("three\n")
    reading = Reading(f"{{include: ['{tmp_path}/*'], start_at: beginning, compression: auto}}")
    reading.poll()
    assert reading.bodies[:50_000] + sorted(reading.bodies[50_000:]) == ["one"] * 50_000 + ["three", "two"]
    with log.open("ab") as file:
        file.write(gzip.compress(b"four\nfi"))
    reading.poll()
    reading.stop()
    reading.start()
    with log.open("ab") as file:
        file.write(gzip.compress(b"ve\n"))
    reading.poll()
    reading.poll()
    reading.stop()
    assert len(reading.bodies) == 50_004
    assert reading.bodies[-2:] == ["four", "five"]


def test_a_member_that_is_not_whole_is_read_as_it_comes(tmp_path: Path) -> None:
    """What a compressor has written so far is there."""
    log, packer = tmp_path / "a.gz", zlib.compressobj(wbits=31)
    log.write_bytes(packer.compress(b"one\n") + packer.flush(zlib.Z_SYNC_FLUSH))
    reading = Reading(f"{{include: ['{log}'], start_at: beginning, compression: gzip}}")
    reading.poll()
    assert reading.bodies == ["one"]
    with log.open("ab") as file:
        file.write(packer.compress(b"two\n") + packer.flush())
    reading.poll()
    reading.stop()
    assert reading.bodies == ["one", "two"]


def test_a_rotated_file_that_is_compressed_is_not_read_again(tmp_path: Path) -> None:
    """It is known by what it holds."""
    log = tmp_path / "app.log"
    log.write_text("".join(f"line {number}\n" for number in range(1000)))
    reading = Reading(f"{{include: ['{log}*'], start_at: beginning, compression: auto}}")
    reading.poll()
    rotated = tmp_path / "app.log.1"
    log.rename(rotated)
    log.touch()
    reading.poll()
    (tmp_path / "app.log.1.gz").write_bytes(gzip.compress(rotated.read_bytes()))
    reading.poll()
    rotated.unlink()
    for _ in range(10):
        reading.poll(5)
    log.write_text("last\n")
    reading.poll()
    reading.stop()
    assert len(reading.bodies) == 1001


def test_the_header_tells_about_all_lines(tmp_path: Path) -> None:
    """Its lines become attributes of all others and no records, also after a restart."""
    log = tmp_path / "a"
    log.write_text("#version: 2\n#host: h\nline\n#no header\n")
    yaml = f"""
        include: ['{log}']
        start_at: beginning
        header:
          pattern: '^#'
          metadata_operators: [{{type: regex_parser, regex: '#version: (?P<version>.*)', if: 'body contains "ver"'}},
            {{type: regex_parser, id: host, regex: 'host: (?P<host>.*)', if: 'body contains "host"'}}]
    """
    reading = Reading(yaml)
    reading.poll()
    reading.stop()
    reading.start()
    with log.open("a") as file:
        file.write("more\n")
    reading.poll()
    reading.stop()
    assert reading.bodies == ["line", "#no header", "more"]
    for entry in reading.entries:
        assert entry.attributes == {"version": "2", "host": "h", "log.file.name": "a"}


def test_attributes_tell_which_file_and_where_in_it(tmp_path: Path) -> None:
    """All of them are what the file system says."""
    log, link = tmp_path / "real.txt", tmp_path / "link.log"
    log.write_text("a\n\nbc\n")
    log.chmod(0o640)
    link.symlink_to(log)
    keys = ("file_path", "file_name_resolved", "file_path_resolved", "file_owner_name", "file_owner_group_name",
            "file_permissions", "file_record_number", "file_record_offset")  # fmt: skip
    reading = Reading(
        f"{{include: ['{tmp_path}/*.log'], start_at: beginning, {', '.join(f'include_{key}: true' for key in keys)}}}"
    )
    reading.poll()
    reading.stop()
    assert [entry.attributes for entry in reading.entries] == [
        {
            "log.file.name": "link.log", "log.file.path": str(link), "log.file.name_resolved": "real.txt",
            "log.file.path_resolved": str(log), "log.file.owner.name": log.owner(),
            "log.file.owner.group.name": log.group(), "log.file.permissions": "640",
            "log.file.record_number": number, "log.file.record_offset": offset,
        }
        for number, offset in ((1, 0), (3, 3))
    ]  # fmt: skip


def test_some_settings_need_the_beginning() -> None:
    """Deleting and headers make no sense where reading starts at the end."""
    with pytest.raises(ConfigError, match="'delete_after_read' cannot be used with 'start_at: end'"):
        file_settings("{delete_after_read: true}")
    with pytest.raises(ConfigError, match="'header' cannot be specified with 'start_at: end'"):
        file_settings("{header: {pattern: a, metadata_operators: [{type: noop}]}}")


@pytest.mark.parametrize(("yaml", "text"), [
    ("fingerprint_size: 15", "greater than or equal to 16"),
    ("max_concurrent_files: 1", "greater than 1"),
    ("multiline: {}", "exactly one of"),
    ("multiline: {line_start_pattern: a, line_end_pattern: b}", "exactly one of"),
    ("include: ['a[']", "syntax error in pattern"),
    ("start_at: middle", "start_at"),
])  # fmt: skip
def test_a_wrong_setting_is_found_at_load(yaml, text) -> None:
    """The error names it."""
    with pytest.raises(ConfigError, match=text.replace("[", "\\[")):
        file_settings(f"{{{yaml}}}")


def test_sizes_may_be_written_as_the_collector_does() -> None:
    """`1kb` is a size here."""
    assert file_settings("{fingerprint_size: 1kb, max_log_size: 2MiB}").fingerprint_size == 1000


def test_lock(tmp_path: Path) -> None:
    """A file that somebody else has locked is read once it is free."""
    import fcntl

    log = tmp_path / "a"
    log.write_text("one\n")
    reading = Reading(f"{{include: ['{log}'], start_at: beginning, acquire_fs_lock: true}}")
    reading.stop()
    descriptor = os.open(log, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    reading.start()
    reading.poll()
    assert reading.bodies == []
    os.close(descriptor)
    reading.poll()
    reading.stop()
    assert reading.bodies == ["one"]


@pytest.mark.parametrize(("multiline", "records"), [
    ("line_start_pattern: '^START'", ["START b\n", "START c\n", "START d\n"]),
    ("line_end_pattern: 'END\\n'", ["b END\n", "c END\n", "d END\n"]),
])  # fmt: skip
@pytest.mark.parametrize("step", [1, 3, 8, 1000])
def test_records_behind_one_that_was_cut_are_whole(tmp_path: Path, multiline, records, step) -> None:
    """What is passed over ends where the next record begins, also where that is the first that is read."""
    log = tmp_path / "a"
    first = "START " + "x" * 300 + " END\n"
    log.write_text(first)
    more = f"max_log_size: 100, max_log_size_behavior: truncate, multiline: {{{multiline}}}"
    reading = Reading(f"{{include: ['{log}'], start_at: beginning, {more}}}")
    reading.poll()
    data = "".join(records)
    for start in range(0, len(data), step):
        with log.open("a") as file:
            file.write(data[start : start + step])
        reading.poll(0.01)
    reading.poll(2)
    reading.stop()
    assert reading.bodies == [first[:100].strip(), *(record.strip() for record in records)]


def test_pieces_of_a_long_record_know_where_they_begin(tmp_path: Path) -> None:
    """In bytes of the file, separators included; and no character is cut in two."""
    (tmp_path / "a").write_bytes(b"abcdefghijklmnopqrst\n" * 2)
    reading = Reading(
        f"{{include: ['{tmp_path}/a'], start_at: beginning, max_log_size: 8, include_file_record_offset: true}}"
    )
    reading.poll()
    reading.stop()
    assert [entry.attributes["log.file.record_offset"] for entry in reading.entries] == [0, 8, 16, 21, 29, 37]
    folder = tmp_path / "wide"
    folder.mkdir()
    wide = read(folder, "xxxxxxxxxx\n".encode("utf-16-le"), "max_log_size: 7, encoding: utf-16le")
    assert wide == ["xxx", "xxx", "xxx", "x"]
