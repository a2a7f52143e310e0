"""Access logs of nginx and Apache: the formats `common` and `combined`, with or without a virtual host in front.

Both servers escape quotation marks in what they write, so that the first `] "` ends the head, in which a user name
(which nobody has checked) may hold all but that. The address in front is the server's own word.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache, partial
from typing import Any, Final

from sluiceway.receivers.security_log.header import Header
from sluiceway.receivers.security_log.ocsf import Class, Event, Kind, Outcome, Severity, endpoint, is_address
from sluiceway.receivers.security_log.presets.preset import Preset
from sluiceway.stanza.syslog.times import MONTHS, nanoseconds

__all__ = ["APACHE", "NGINX"]

_METHODS: Final = {
    "CONNECT": (1, "Connect"), "DELETE": (2, "Delete"), "GET": (3, "Get"), "HEAD": (4, "Head"),
    "OPTIONS": (5, "Options"), "POST": (6, "Post"), "PUT": (7, "Put"), "TRACE": (8, "Trace"), "PATCH": (9, "Patch"),
}  # fmt: skip
_OTHER: Final = (99, "Other")
_UNKNOWN: Final = (0, "Unknown")
_SEVERITIES: Final = (Severity.INFORMATIONAL, Severity.LOW, Severity.MEDIUM)
_Kinds = dict[tuple[tuple[int, str], int], Kind]


def _kinds(product: dict[str, str]) -> _Kinds:
    return {
        (activity, grade): Kind(
            Class.HTTP, activity, Outcome.FAILURE if grade else Outcome.SUCCESS, product, severity=_SEVERITIES[grade]
        )
        for activity in (*_METHODS.values(), _OTHER, _UNKNOWN)
        for grade in range(3)
    }


def _parse(kinds: _Kinds, message: str, header: Header) -> Event | None:
    head, bracket, rest = message.partition('] "')
    before, _, stamp = head.rpartition(" [")
    names = before.split(" ", 3)
    if not bracket or len(names) < 3:
        return None
    request, rest = _quoted(rest)
    status, _, rest = rest[1:].partition(" ")
    size, _, rest = rest.partition(" ")
    if not (status.isascii() and status.isdigit() and len(status) == 3):
        return None
    virtual = ""
    if not is_address(names[0]) and is_address(names[1]):
        virtual, _, before = before.partition(" ")
    address, _, before = before.partition(" ")
    user = before.partition(" ")[2]
    code = int(status)
    activity, asked = _request(request)
    response: dict[str, Any] = {"code": code}
    if size.isascii() and size.isdigit() and len(size) < 19:
        response["length"] = int(size)
    unmapped = _agent(asked, rest)
    fields: dict[str, Any] = {
        "src_endpoint": endpoint(address), "http_request": asked, "http_response": response, "status_code": status,
    }  # fmt: skip
    place = virtual or header.host
    if place:
        name, _, port = place.partition(":")
        fields["dst_endpoint"] = endpoint(name, port)
    user = "" if user == "-" else user
    if user:
        unmapped["user"] = user  # nobody has checked it where the request was refused
    kind = kinds[activity, 0 if code < 400 else 1 if code < 500 else 2]
    return Event(kind, fields, user=user, source=address, time=_time(stamp), unmapped=unmapped)


def _quoted(text: str) -> tuple[str, str]:
    """What stands before the next quotation mark that no backslash escapes, and what behind it."""
    quote, slash = text.find('"'), text.find("\\")
    while 0 <= slash < quote:
        if quote == slash + 1:
            quote = text.find('"', quote + 1)
        slash = text.find("\\", slash + 2)
    return (text[:quote], text[quote + 1 :]) if quote >= 0 else (text, "")


def _request(request: str) -> tuple[tuple[int, str], dict[str, Any]]:
    """The activity and the `http_request` of `GET /path?query HTTP/1.1`, or of whatever was sent instead."""
    method, _, target = request.partition(" ")
    target, _, version = target.rpartition(" ")
    if not version.startswith("HTTP/") or not method.isalpha() or len(method) > 16:
        return _UNKNOWN, {"url": {"url_string": request}} if request not in ("", "-") else {}
    path, mark, query = target.partition("?")
    url = {"path": path, "url_string": target}
    if mark:
        url["query_string"] = query
    asked: dict[str, Any] = {"url": url, "version": version[5:]}
    if method in _METHODS:
        asked["http_method"] = method  # OCSF knows no others; they stand in `raw_data`
    return _METHODS.get(method, _OTHER), asked


def _agent(asked: dict[str, Any], rest: str) -> dict[str, Any]:
    """Add referrer and user agent, which a `combined` line has; what follows them is not mapped."""
    if rest[:1] != '"':
        return {"more": rest} if rest else {}
    referrer, rest = _quoted(rest[1:])
    if referrer not in ("", "-"):
        asked["referrer"] = referrer
    if rest[:2] == ' "':
        agent, rest = _quoted(rest[2:])
        if agent not in ("", "-"):
            asked["user_agent"] = agent
    rest = rest.strip(" ")
    return {"more": rest} if rest else {}


def _time(stamp: str) -> int:
    """Nanoseconds of `26/Nov/2026:11:14:00 +0000`; 0 for none."""
    return _read_time(stamp) if len(stamp) == 26 and stamp[3:6] in MONTHS else 0


@lru_cache(maxsize=4096)
def _read_time(stamp: str) -> int:
    text = f"{stamp[7:11]}-{MONTHS[stamp[3:6]]:02}-{stamp[:2]}T{stamp[12:20]}{stamp[21:]}"
    try:
        return nanoseconds(datetime.fromisoformat(text))
    except ValueError:
        return 0


NGINX: Final = Preset("nginx", partial(_parse, _kinds({"name": "nginx", "vendor_name": "F5"})), ("nginx",), whole=True)
APACHE: Final = Preset(
    "apache",
    partial(_parse, _kinds({"name": "Apache HTTP Server", "vendor_name": "Apache Software Foundation"})),
    ("apache2", "httpd", "apache"),
    whole=True,
)
