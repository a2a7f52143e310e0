"""OpenSSH's sshd.

Whoever connects chooses the user name, and it may read `root from 1.2.3.4 port 22 ssh2`. The address is therefore taken
from where sshd itself put it: behind the name, at the end of the message. Only a certificate's key id, which comes from
outside too, stands behind it; where both could be meant, no address is told at all, and those in question are kept
under `unmapped`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sluiceway.receivers.security_log.header import Header
from sluiceway.receivers.security_log.ocsf import Class, Event, Kind, Outcome, Severity, endpoint, is_address
from sluiceway.receivers.security_log.presets.preset import Preset

__all__ = ["SSHD"]

_PRODUCT: Final = {"name": "OpenSSH", "vendor_name": "OpenBSD"}
_SSHD: Final[dict[str, Any]] = {
    "service": {"name": "sshd"},
    "is_remote": True,
    "logon_type_id": 3,
    "logon_type": "Network",
}
_LOGON: Final = (1, "Logon")

ACCEPTED: Final = Kind(Class.AUTHENTICATION, _LOGON, Outcome.SUCCESS, _PRODUCT, **_SSHD)
FAILED: Final = Kind(Class.AUTHENTICATION, _LOGON, Outcome.FAILURE, _PRODUCT, severity=Severity.LOW, **_SSHD)
EXCEEDED: Final = Kind(
    Class.AUTHENTICATION, (6, "Preauth"), Outcome.FAILURE, _PRODUCT, severity=Severity.MEDIUM, **_SSHD
)
INVALID: Final = Kind(Class.AUTHENTICATION, (6, "Preauth"), Outcome.FAILURE, _PRODUCT, severity=Severity.LOW, **_SSHD)
OPENED: Final = Kind(Class.SSH, (1, "Open"), Outcome.SUCCESS, _PRODUCT)
CLOSED: Final = Kind(Class.SSH, (2, "Close"), Outcome.SUCCESS, _PRODUCT)
BROKEN: Final = Kind(Class.SSH, (4, "Fail"), Outcome.FAILURE, _PRODUCT, severity=Severity.LOW)

_Fields = dict[str, Any]


def _logon(kind: Kind, user: str, place: tuple[str, str] | None, header: Header, unmapped: _Fields) -> Event:
    fields: _Fields = {"user": {"name": user}}
    source = ""
    if place is not None:
        source = place[0]
        fields["src_endpoint"] = endpoint(*place)
    _machine(fields, header)
    if header.pid:
        fields["logon_process"] = {"name": "sshd", "pid": header.pid}
    return Event(kind, fields, user=user, source=source, unmapped=unmapped)


def _connection(kind: Kind, address: str, port: str, header: Header, unmapped: _Fields | None = None) -> Event | None:
    if not is_address(address):
        return None
    fields: _Fields = {"src_endpoint": endpoint(address, port)}
    _machine(fields, header)
    return Event(kind, fields, source=address, unmapped=unmapped)


def _machine(fields: _Fields, header: Header) -> None:
    if header.host:
        fields["dst_endpoint"] = {"hostname": header.host}


def _verdict(message: str, header: Header) -> Event | None:
    """`Failed password for [invalid user ]USER from IP port N ssh2[: KEY]`, and the same with Accepted."""
    verdict, _, rest = message.partition(" ")
    method, _, rest = rest.partition(" for ")
    if not rest or " " in method:
        return None
    unmapped: _Fields = {"method": method}
    is_invalid = rest.startswith("invalid user ")
    if is_invalid and verdict == "Failed":
        rest = rest[13:]
        unmapped["invalid_user"] = True
    kind = ACCEPTED if verdict == "Accepted" else FAILED
    found = _places(rest)
    if not found:
        return None
    at, address, port, tail = found[-1] if len(found) == 1 else _choose(found, method)
    if tail:
        unmapped["key"] = tail
    if not address:
        unmapped["source_candidates"] = [place[1] for place in found]
        return _logon(kind, rest[: found[0][0]], None, header, unmapped)
    return _logon(kind, rest[:at], (address, port), header, unmapped)


_Place = tuple[int, str, str, str]  # where " from" begins, address, port, and what follows behind "ssh2"


def _places(text: str) -> list[_Place]:
    """Everywhere in a text where an address could be meant; at most 64 places, the last ones."""
    found: list[_Place] = []
    end = len(text)
    while len(found) < 64 and (at := text.rfind(" from ", 0, end)) >= 0:
        address, _, rest = text[at + 6 : at + 256].partition(" port ")
        port, _, _ = rest.partition(" ")
        behind = at + 6 + len(address) + 6 + len(port)
        is_place = port.isdigit() and text.startswith(" ssh2", behind) and is_address(address)
        if is_place and text[behind + 5 : behind + 7] in ("", ": "):
            found.append((at, address, port, text[behind + 7 :]))
        end = at + 5
    found.reverse()
    return found


def _choose(found: list[_Place], method: str) -> _Place:
    """The place that sshd wrote. One whose address is empty says that it cannot be told."""
    last = found[-1]
    if not last[3] or method != "publickey" or last[3].count(" ") <= 1:
        return last  # nothing from outside stands behind it
    certified = [place for place in found if _is_certificate(place[3])]
    return certified[0] if len(certified) == 1 else (last[0], "", "", "")


def _is_certificate(tail: str) -> bool:
    kind, _, rest = tail.partition(" ")
    return kind.endswith("-CERT") and rest.partition(" ")[2].startswith("ID ")


def _at_end(text: str, word: str = " from ") -> tuple[str, str, str] | None:
    """`USER from IP port N` with nothing behind it: the user, the address and the port."""
    rest, found, port = text.rpartition(" port ")
    user, separator, address = rest.rpartition(word)
    if not (found and separator and port.isdigit() and is_address(address)):
        return None
    return user, address, port


def _invalid(message: str, header: Header) -> Event | None:
    """`Invalid user NAME from IP port N`."""
    if not message.startswith("Invalid user "):
        return None
    place = _at_end(message[12:])
    return _logon(INVALID, place[0].lstrip(" "), place[1:], header, {"invalid_user": True}) if place else None


def _error(message: str, header: Header) -> Event | None:
    """`error: maximum authentication attempts exceeded for [invalid user ]NAME from IP port N ssh2`, and PAM's."""
    text = message.removeprefix("error: ").removesuffix(" [preauth]")
    if text.startswith("maximum authentication attempts exceeded for "):
        place = _at_end(text[45:].removesuffix(" ssh2"))
        if place is None:
            return None
        user = place[0].removeprefix("invalid user ")
        return _logon(EXCEEDED, user, place[1:], header, {"reason": "maximum authentication attempts exceeded"})
    if text.startswith("PAM: ") and " for " in text:
        reason, _, rest = text[5:].partition(" for ")
        user, separator, address = rest.rpartition(" from ")
        if separator and " " not in address:
            user = user.removeprefix("illegal user ").removeprefix("invalid user ")
            # sshd's own line of this attempt, "Failed keyboard-interactive/pam", comes behind it
            return _logon(INVALID, user, (address, ""), header, {"method": "pam", "reason": reason})
    return None


def _user(message: str, header: Header) -> Event | None:
    """`User NAME from HOST not allowed because ...`: the name is of a user of this machine."""
    head, found, reason = message.partition(" not allowed because ")
    user, separator, address = head[5:].rpartition(" from ")
    if not (found and separator) or " " in address:
        return None
    return _logon(INVALID, user, (address, ""), header, {"reason": f"not allowed because {reason}"})


def _connect(message: str, header: Header) -> Event | None:
    """`Connection from IP port N on IP port N`, and `Connection closed|reset by [KIND user NAME ]IP port N`."""
    words = message.split(" ", 5)
    if words[1] == "from" and words[3] == "port":
        return _connection(OPENED, words[2], words[4], header)
    if words[1] in ("closed", "reset") and words[2] == "by":
        place = _at_end(f" {message.partition(' by ')[2].removesuffix(' [preauth]')}", " ")
        if place is not None:
            return _connection(CLOSED, place[1], place[2], header, _who(place[0]))
    return None


def _who(text: str) -> _Fields | None:
    for kind in ("invalid user ", "authenticating user ", "user "):
        if text.lstrip(" ").startswith(kind):
            return {"user": text.lstrip(" ")[len(kind) :]}
    return None


def _received(message: str, header: Header) -> Event | None:
    """`Received disconnect from IP port N:CODE: TEXT`; the text is the peer's."""
    words = message.split(" ", 5)
    if words[1:3] != ["disconnect", "from"] or words[4] != "port":
        return None
    port, _, rest = message.partition(" port ")[2].partition(":")
    return _connection(CLOSED, words[3], port, header, {"reason": rest})


def _disconnected(message: str, header: Header) -> Event | None:
    """`Disconnected from [KIND user NAME ]IP port N`."""
    if not message.startswith("Disconnected from "):
        return None
    place = _at_end(message[17:].removesuffix(" [preauth]"), " ")
    return _connection(CLOSED, place[1], place[2], header, _who(place[0])) if place else None


def _disconnecting(message: str, header: Header) -> Event | None:
    """`Disconnecting [KIND user NAME ]IP port N: Too many authentication failures`; other reasons may be the peer's."""
    text, _, reason = message[14:].removesuffix(" [preauth]").rpartition(": ")
    place = _at_end(f" {text}", " ")
    if place is None or reason != "Too many authentication failures":
        return None
    return _connection(CLOSED, place[1], place[2], header, {**(_who(place[0]) or {}), "reason": reason})


def _timeout(message: str, header: Header) -> Event | None:
    """`Timeout before authentication for IP port N`, since OpenSSH 9.8 `... for connection from IP to IP, pid = N`."""
    words = message.removeprefix("Timeout before authentication for ").removeprefix("connection from ").split(" ")
    port = words[2] if words[1:2] == ["port"] and len(words) > 2 else ""
    return _connection(BROKEN, words[0], port, header, {"reason": "timeout before authentication"})


def _starting(message: str, header: Header) -> Event | None:
    """`Starting session: command for USER from IP port N id 0`."""
    place = _at_end(message.rpartition(" id ")[0])
    if place is None or not message.startswith("Starting session: "):
        return None
    what, _, user = place[0][18:].partition(" for ")
    return _connection(OPENED, place[1], place[2], header, {"user": user, "session": what})


def _no_identification(message: str, header: Header) -> Event | None:
    """`Did not receive identification string from IP port N`, `Bad protocol version identification '...' from ...`."""
    place = _at_end(message.removesuffix(" [preauth]"))
    return _connection(BROKEN, place[1], place[2], header, {"reason": place[0]}) if place else None


def _banner(message: str, header: Header) -> Event | None:
    """`banner exchange: Connection from IP port N: invalid format`, `Unable to negotiate with IP port N: ...`."""
    for head in ("banner exchange: Connection from ", "Unable to negotiate with "):
        if message.startswith(head):
            address, _, rest = message[len(head) :].partition(" port ")
            port, _, reason = rest.partition(": ")
            return _connection(BROKEN, address, port, header, {"reason": reason})
    return None


_FIRST: Final[dict[str, Callable[[str, Header], Event | None]]] = {
    "Accepted": _verdict, "Bad": _no_identification, "Connection": _connect, "Did": _no_identification,
    "Disconnected": _disconnected, "Disconnecting": _disconnecting, "Failed": _verdict, "Invalid": _invalid,
    "Received": _received, "Starting": _starting, "Timeout": _timeout, "Unable": _banner, "User": _user,
    "banner": _banner, "error:": _error,
}  # fmt: skip


def parse(message: str, header: Header) -> Event | None:
    """The event of a message of sshd."""
    handle = _FIRST.get(message.partition(" ")[0])
    return handle(message, header) if handle is not None else None


SSHD: Final = Preset("sshd", parse, ("sshd", "sshd-session", "sshd-auth"))
