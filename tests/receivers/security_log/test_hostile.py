"""Lines as an attacker would have them: no one else's address, no second line, no escape, no long work."""
# ruff: noqa: E501, ISC004  # lines of logs are as long as they are

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluiceway.otlp import Signal, accept
from sluiceway.receivers.security_log.header import _moment, moment
from sluiceway.receivers.security_log.mapping import Mapping
from sluiceway.receivers.security_log.ocsf import _is_address, is_address
from sluiceway.receivers.security_log.presets import NAMES
from sluiceway.receivers.security_log.records import mapped
from sluiceway.stanza import Entry, encode
from sluiceway.stanza.syslog.times import _rfc3339, rfc3339
from tests.growth import grows_evenly
from tests.receivers.security_log.schema import NOW, event, problems, unknown
from tests.receivers.security_log.test_presets import LINES, WHOLE

REAL = "10.0.0.4"
FORGED = "9.9.9.9"
NAMES_THAT_LIE = [
    f"root from {FORGED}",
    f"root from {FORGED} port 22",
    f"root from {FORGED} port 22 ssh2",
    f"root from {FORGED} port 22 ssh2: ED25519 SHA256:abc",
    f"x ssh2: from {FORGED} port 1 ssh2 from {FORGED} port 1 ssh2",
    f"invalid user root from {FORGED} port 22 ssh2",
    f'a "quoted" name\\n from {FORGED}',
    " from  port ",
    "",
]


@pytest.mark.parametrize("name", NAMES_THAT_LIE)
@pytest.mark.parametrize("form", [
    "Failed password for invalid user {} from {} port 50024 ssh2",
    "Failed none for invalid user {} from {} port 50024 ssh2",
    "Failed publickey for invalid user {} from {} port 50024 ssh2: RSA SHA256:abc",
    "Failed publickey for invalid user {} from {} port 50024 ssh2: RSA-CERT SHA256:abc ID key (serial 0) CA RSA SHA256:x",
    "Invalid user {} from {} port 50024",
    "error: maximum authentication attempts exceeded for invalid user {} from {} port 50024 ssh2 [preauth]",
    "Connection closed by invalid user {} {} port 50024 [preauth]",
    "Disconnected from invalid user {} {} port 50024 [preauth]",
])  # fmt: skip
def test_a_user_name_does_not_forge_the_address(name, form) -> None:
    """Whatever somebody calls himself, the source is the one that sshd wrote behind the name, and the name is whole."""
    found = event(f"Nov 26 11:14:40 web1 sshd[9]: {form.format(name, REAL)}")
    assert found["_source"] == REAL
    assert found["src_endpoint"]["port"] == 50024
    who = found["_user"] if found["class_uid"] == 3002 else found["unmapped"]["user"]
    assert who.strip(" ") in (name.strip(" "), name.removeprefix("invalid user "))


def test_a_certificate_does_not_forge_the_address() -> None:
    """The id of a key stands behind the address, and is chosen by whoever offers the key."""
    forged = f"x from {FORGED} port 22 ssh2: RSA SHA256:b"
    line = (
        f"Failed publickey for root from {REAL} port 5 ssh2: RSA-CERT SHA256:a ID {forged} (serial 0) CA RSA SHA256:c"
    )
    assert event(line)["_source"] == REAL


def test_where_two_addresses_could_be_meant_none_is_told() -> None:
    """A name and a key's id that imitate each other leave both in question."""
    tail = "RSA-CERT SHA256:a ID k (serial 0) CA RSA SHA256:c"
    line = f"Failed publickey for invalid user x from {FORGED} port 1 ssh2: {tail} from {REAL} port 5 ssh2: {tail}"
    found = event(line)
    assert "src_endpoint" not in found
    assert found["_source"] == ""
    assert found["unmapped"]["source_candidates"] == [FORGED, REAL]


def test_pam_takes_the_host_in_front_of_the_name() -> None:
    """The name that was tried stands last in PAM's line."""
    line = (
        "authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=10.0.0.4  user=a rhost=9.9.9.9  user=root"
    )
    found = event(f"Nov 26 11:14:40 web1 login[9]: pam_unix(login:auth): {line}")
    assert (found["_source"], found["_user"]) == (REAL, "a rhost=9.9.9.9  user=root")


@pytest.mark.parametrize(("rest", "repeated"), [
    ("PWD=/tmp/ ; USER=nobody ; COMMAND=/bin/true ; USER=root ; COMMAND=/usr/bin/id", ["COMMAND", "USER"]),
    ("PWD=/ ; USER=root ; COMMAND=/bin/bash ; USER=nobody", ["USER"]),
    ("PWD=/ ; USER=root ; COMMAND=/bin/sh -c echo a ; COMMAND=/bin/true", ["COMMAND"]),
])  # fmt: skip
def test_what_imitates_sudo_is_not_claimed(rest: str, repeated: list[str]) -> None:
    """A directory or a command that reads like sudo's own fields: the attempt is of high severity, and all is kept."""
    found = event(f"Nov 26 11:14:40 web1 sudo[9]:   al : TTY=pts/0 ; {rest}")
    assert found["user"]["name"] == ("unknown" if "USER" in repeated else "root")
    assert ("command" in found["unmapped"]) is ("COMMAND" not in repeated)
    assert (found["severity"], found["actor"]["user"]["name"]) == ("High", "al")
    assert sorted(found["unmapped"]["repeated"]) == repeated
    assert problems({key: value for key, value in found.items() if key[0] != "_"}) == []


def test_a_database_user_does_not_forge_a_login() -> None:
    """A text line of PostgreSQL whose user name looks like another line's end is not mapped at all."""
    name = "x@y LOG:  connection authorized: user=postgres"
    line = f'2026-11-26 11:00:00 UTC [1] {name}@db FATAL:  password authentication failed for user "{name}"'
    assert unknown(line)


def test_a_forwarded_address_is_not_the_source() -> None:
    """Of the addresses in a Kubernetes audit event only the last was seen by the server."""
    line = (
        '{"kind":"Event","apiVersion":"audit.k8s.io/v1","stage":"ResponseComplete","verb":"get","requestURI":"/",'
        '"user":{"username":"u"},"sourceIPs":["9.9.9.9","10.0.0.4"]}'
    )
    found = event(line)
    assert (found["_source"], found["http_request"]["x_forwarded_for"]) == (REAL, [FORGED])


def test_a_basic_auth_name_does_not_forge_time_or_request() -> None:
    """A web server writes the name unchecked, but never a quotation mark in it."""
    name = r"a [01/Jan/2001:00:00:00 +0000] \x22GET /forged HTTP/1.1\x22 200 1"
    found = event(f'10.0.0.4 - {name} [26/Nov/2026:11:14:00 +0000] "GET /real HTTP/1.1" 401 9 "-" "-"')
    assert (found["time"], found["http_request"]["url"]["path"]) == (1_795_691_640_000, "/real")
    assert (found["_source"], found["_user"], found["status_code"]) == (REAL, name, "401")


@pytest.mark.parametrize("control", ["\n", "\r", "\x1b[31m", "\x00", "\x9b", "\u202e", "\u2028"])
def test_no_control_character_comes_through(control) -> None:
    """Neither the event nor its attributes hold what could begin a line or move a cursor; it is shown as an escape."""
    found = event(f"Failed password for invalid user a{control}b from 10.0.0.4 port 5 ssh2")
    assert control not in str(found)
    assert "a\\" in found["_user"]


@pytest.mark.parametrize("line", [
    '{"kind":"Event","apiVersion":"audit.k8s.io/v1","verb":"get","user":{"username":"a\\u001b[31m"},"userAgent":"\\nx",'
    '"annotations":{"\\u202e":["\\u009b"]}}',
    '{"user":"a\\u001b","dbname":"\\n","error_severity":"FATAL","message":"role \\"a\\u001b\\" does not exist","x":"\\r"}',
    'type=USER_CMD msg=audit(1.1:1): pid=1 uid=0 cmd=6C730A1B5B33316DE280AE exe="/x" res=success',
])  # fmt: skip
def test_no_control_character_comes_out_of_an_encoding(line) -> None:
    """JSON has escapes, and auditd writes texts as hexadecimal digits: what they stand for is made visible, too."""
    found = event(line)
    texts = list(_texts(found))
    assert all(text.isprintable() for text in texts), texts


def _texts(value):
    """All texts in a value, keys too."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield key
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("pattern", [
    "Failed password for {}", "Failed publickey for x{} from 1.2.3.4 port 5 ssh2", "Invalid user {}",
    "Connection closed by {}", "Nov 26 11:14:40 w sudo: a : {}", "type=SYSCALL msg=audit(1.1:1): {}",
    '1.2.3.4 - - [26/Nov/2026:11:14:00 +0000] "{}', "2026-11-26 11:00:00 UTC [1] {}", "2026-11-26 11:00:00 UTC,{}",
    "2026-11-26 11:00:00 UTC [1] u@d LOG:  AUDIT: {}", '{{"apiVersion":"audit.k8s.io/v1",{}', "{}",
    "Nov 26 11:14:40 w login[9]: pam_unix(login:auth): authentication failure; {}",
])  # fmt: skip
def test_a_long_line_costs_time_in_proportion(pattern) -> None:
    """What a parser looks for costs time in proportion to how much there is of it, with whatever it is filled."""
    mapping = Mapping(NAMES, hostname="here")

    def work(filling: str, length: int) -> None:
        mapping.line(pattern.format(filling * (length // len(filling))), NOW)

    for filling in (" from 1.2.3.4 port 5 ssh2", " ; USER=a", "\\", '\\"', ',"', " LOG:  ", " a=b", "[", " ", "rhost="):
        assert grows_evenly(partial(work, filling, 100_000), partial(work, filling, 400_000)), filling


WHOLE_LINES = [line for line, *_ in LINES] + [line for line, *_ in WHOLE]


@given(st.sampled_from(WHOLE_LINES), st.text(max_size=40), st.data())
@settings(max_examples=400)
def test_a_line_with_anything_in_it_is_a_valid_event_or_none(line, junk, data) -> None:
    """Text put into a known line, in the place of other text or between, breaks neither the parser nor the schema."""
    start = data.draw(st.integers(0, len(line)))
    end = data.draw(st.integers(start, min(len(line), start + 12)))
    text = line[:start] + junk + line[end:]
    for whole in (text, f"Nov 26 11:14:40 web1 {text}"):
        found = Mapping(NAMES, hostname="here").line(whole, NOW)
        if found is not None:
            assert problems(found[0].body()) == []
            entry = Entry(whole, NOW, {}, {})
            mapped(entry, whole, found[0], "keep")
            assert accept(Signal.LOGS, encode([entry])).items == 1


@pytest.mark.parametrize("read", [rfc3339, moment, is_address])
def test_what_is_too_long_is_not_remembered(read) -> None:
    """Times and addresses come from outside: a megabyte is none, and takes no room in what is kept of them."""
    kept = {"rfc3339": _rfc3339, "moment": _moment, "is_address": _is_address}[read.__name__]
    before = kept.cache_info().misses
    assert not read("2026-11-26T11:14:00" + "1" * 1_000_000)
    assert kept.cache_info().misses == before
