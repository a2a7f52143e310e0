"""Single messages of both protocols, and where they begin and end in a stream."""
# ruff: noqa: E501  # messages are as long as they are

from zoneinfo import ZoneInfo

import pytest

from sluiceway.stanza import Entry
from sluiceway.stanza.syslog.framing import Counted, Trailed
from sluiceway.stanza.syslog.messages import parser
from tests.growth import grows_evenly

NOW = 1_795_692_000_000_000_000
UTC = ZoneInfo("UTC")


def read(text, protocol="rfc5424", now=NOW, **settings):
    """The entry of a message."""
    entry = Entry(text, now, {}, {})
    parser(protocol, settings.pop("zone", UTC), **settings)(entry, text)
    return entry


def test_a_message_of_rfc_5424_has_all_its_parts() -> None:
    """Parts, time and severity are read; what stands in structured data is unescaped."""
    entry = read(
        r'<165>1 2003-10-11T22:14:15.003Z host app 47 ID47 [a@1 k="v \"q\" \] \\ \n" e=""][b@2] '
        "\ufeffAn event"
    )
    assert entry.attributes == {
        "version": 1, "hostname": "host", "appname": "app", "proc_id": "47", "msg_id": "ID47", "message": "An event",
        "structured_data": {"a@1": {"k": 'v "q" ] \\ \\n', "e": ""}, "b@2": {}},
        "priority": 165, "facility": 20, "facility_text": "local4",
    }  # fmt: skip
    assert (entry.time, entry.severity, entry.severity_text) == (1_065_910_455_003_000_000, 10, "notice")


def test_what_a_message_of_rfc_5424_does_not_have_is_no_attribute() -> None:
    """`-` is nothing, and so is a message that is not there."""
    assert read("<0>1 - - - - - -").attributes == {"version": 1, "priority": 0, "facility": 0, "facility_text": "kern"}
    assert read("<0>1 - - - - - -").severity == 21


@pytest.mark.parametrize(("text", "attributes"), [
    ("<34>Oct 11 22:14:15 host su[12]: 'su root' failed", {"appname": "su", "proc_id": "12", "message": "'su root' failed"}),
    ("<34>Oct  1 22:14:15 host su: x: y", {"appname": "su", "message": "x: y"}),
    ("<34>Oct 11 22:14:15 host no tag: here", {"message": "no tag: here"}),
])  # fmt: skip
def test_a_message_of_rfc_3164_has_tag_and_text(text, attributes) -> None:
    """The tag is what stands before a colon without a blank."""
    found = read(text, "rfc3164").attributes
    assert found == {"hostname": "host", "priority": 34, "facility": 4, "facility_text": "auth"} | attributes


@pytest.mark.parametrize(("stamp", "now", "zone", "time"), [
    ("Dec 31 23:59:59", 1_767_225_610, "UTC", 1_767_225_599),  # ten seconds into 2026: it was 2025
    ("Jan  1 00:00:05", 1_767_225_590, "UTC", 1_767_225_605),  # the sender's clock is ahead: it is 2026 already
    ("Jan  1 00:00:05", 1_767_225_610, "UTC", 1_767_225_605),
    ("Feb 29 12:00:00", 1_795_692_000, "UTC", 1_709_208_000),  # the last one was in 2024
    ("Nov 26 12:20:00", 1_795_692_000, "Europe/Berlin", 1_795_692_000),
    ("Jul 26 12:20:00", 1_795_692_000, "Europe/Berlin", 1_785_061_200),  # in summer
])  # fmt: skip
def test_a_time_without_a_year_is_the_latest_that_is_not_in_the_future(stamp, now, zone, time) -> None:
    """Also around new year, in leap years, and in other zones."""
    entry = read(f"<34>{stamp} host su: x", "rfc3164", now * 10**9, zone=ZoneInfo(zone))
    assert entry.time == time * 10**9


@pytest.mark.parametrize("text", [
    "", "x", "<", "<>", "<192>1 - - - - - -", "<1a>1 - - - - - -", "<1", "<34>1", "<34>0 - - - - - -", "<34>1 x - - - - -",
    "<34>1 - - - - - x", "<34>1 - - - - - [", "<34>1 - - - - - [a", "<34>1 - - - - - [a k]", '<34>1 - - - - - [a k="v]',
    '<34>1 - - - - - [a k="v"', '<34>1 - - - - - [a k="v"]x', "<34>1 - - - - - [a][a]", '<34>1 - - - - - [a k="\\',
    "<34>1 2003-10-11T22:14:15 - - - - -", "<34>1 -  - - - -",
])  # fmt: skip
def test_what_is_no_message_leaves_the_entry_as_it_was(text) -> None:
    """It raises `ValueError`, and nothing has been set."""
    entry = Entry(text, NOW, {}, {})
    with pytest.raises(ValueError):
        parser("rfc5424", UTC)(entry, text)
    assert (entry.attributes, entry.time, entry.severity) == ({}, 0, 0)


def test_a_message_may_have_no_priority_where_that_is_allowed() -> None:
    """Then it has no severity and no facility either."""
    entry = read("1 - host - - - -", allow_skip_pri_header=True)
    assert (entry.attributes, entry.severity) == ({"version": 1, "hostname": "host"}, 0)


STREAM = b"one\ntwo\n\nthree\n" + b"x" * 50 + b"\nfour"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_lines_are_found_however_they_arrive(size) -> None:
    """A line that is too long is cut, and costs the others nothing; the last one needs no end."""
    framing = Trailed(b"\n", 20)
    found = [m for at in range(0, len(STREAM), size) for m in framing.feed(STREAM[at : at + size])]
    assert found + framing.end() == [b"one", b"two", b"three", b"x" * 20, b"four"]
    assert framing.held == 0


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_counted_messages_are_found_however_they_arrive(size) -> None:
    """A message that is too long is passed over and told; a line feed between two messages does not matter."""
    told = []
    framing = Counted(20, lambda: told.append(1))
    stream = b"3 one" + b"50 " + b"x" * 50 + b"5 a\nb\nc\n4 four" + b"9 not all"
    found = [m for at in range(0, len(stream), size) for m in framing.feed(stream[at : at + size])]
    assert found == [b"3 one", b"5 a\nb\nc", b"4 four"]
    assert len(told) == 1
    assert framing.end() == []


@pytest.mark.parametrize("data", [b"x", b"<34>1 - - - - - -", b"0 ", b"12345678901 x", b"99999999999", b" 3 one"])
def test_a_stream_without_counts_cannot_be_followed(data) -> None:
    """Nobody knows where the next message would begin."""
    framing = Counted(20, lambda: None)
    assert framing.feed(data) == []
    assert framing.broken


def test_messages_in_front_of_what_cannot_be_followed_are_read() -> None:
    """However they came: what is wrong behind them does not take them back."""
    framing = Counted(20, lambda: None)
    assert framing.feed(b"3 one3 twogarbage") == [b"3 one", b"3 two"]
    assert framing.broken


def test_structured_data_is_read_in_one_pass() -> None:
    """However many elements there are, each of its own name."""

    def message(elements: int) -> str:
        return "<1>1 - - - - - " + "".join(f"[a{number}]" for number in range(elements))

    parse = parser("rfc5424", UTC)
    less, four_times = message(20_000), message(80_000)
    assert grows_evenly(lambda: parse(Entry("", 1, {}, {}), less), lambda: parse(Entry("", 1, {}, {}), four_times))
