"""PostgreSQL's log as `jsonlog`, `csvlog` or text, and in it the lines of the extension pgaudit.

User and address come from the fields that the server fills (JSON and CSV). A text line is as Debian writes it,
`%m [%p] %q%u@%d `, or as PostgreSQL does by itself, `%m [%p] `; then the message names the user, and some name the
address. A text line can be forged: a client may call itself
`x@y LOG:  connection authorized: user=postgres`. A text line that could be read in two ways is therefore not mapped,
and a name that holds a line feed makes lines of its own in it and in CSV: use `jsonlog` where this matters.

pgaudit writes its line when a statement begins, so that the outcome is unknown.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from sluiceway.receivers.security_log.header import Header, moment
from sluiceway.receivers.security_log.ocsf import Class, Event, Kind, Outcome, Severity, endpoint
from sluiceway.receivers.security_log.presets.jsonlines import load, take
from sluiceway.receivers.security_log.presets.preset import Preset

__all__ = ["PGAUDIT", "POSTGRES"]

_PRODUCT: Final = {"name": "PostgreSQL", "vendor_name": "PostgreSQL Global Development Group"}
_PGAUDIT: Final = {**_PRODUCT, "feature": {"name": "pgaudit"}}
_SERVICE: Final[dict[str, Any]] = {"service": {"name": "postgresql"}}
_LOGON: Final = (1, "Logon")

ALLOWED: Final = Kind(Class.AUTHENTICATION, _LOGON, Outcome.SUCCESS, _PRODUCT, **_SERVICE)
REFUSED: Final = Kind(Class.AUTHENTICATION, _LOGON, Outcome.FAILURE, _PRODUCT, severity=Severity.LOW, **_SERVICE)
PROVED: Final = Kind(Class.AUTHENTICATION, (6, "Preauth"), Outcome.SUCCESS, _PRODUCT, **_SERVICE)
LEFT: Final = Kind(Class.AUTHENTICATION, (2, "Logoff"), Outcome.SUCCESS, _PRODUCT, **_SERVICE)
NO_DATABASE: Final = Kind(Class.DATASTORE, (3, "Connect"), Outcome.FAILURE, _PRODUCT, severity=Severity.LOW)
DENIED: Final = Kind(Class.DATASTORE, (4, "Query"), Outcome.FAILURE, _PRODUCT, severity=Severity.LOW)

_QUERY: Final = (4, "Query")
_BY_COMMAND: Final = {
    "SELECT": (1, "Read"), "INSERT": (5, "Write"), "UPDATE": (2, "Update"), "DELETE": (7, "Delete"),
    "TRUNCATE TABLE": (7, "Delete"), "MERGE": (2, "Update"),
}  # fmt: skip
_BY_VERB: Final = {"CREATE": (6, "Create"), "ALTER": (2, "Update"), "DROP": (7, "Delete"), "COPY": (5, "Write")}
_KINDS: Final = {
    activity: Kind(Class.DATASTORE, activity, Outcome.UNKNOWN, _PGAUDIT)
    for activity in (*dict.fromkeys((*_BY_COMMAND.values(), *_BY_VERB.values())), _QUERY)
}
_LEVELS: Final = (
    "LOG", "FATAL", "ERROR", "WARNING", "NOTICE", "INFO", "PANIC", "DEBUG1", "DETAIL", "STATEMENT", "HINT", "CONTEXT",
)  # fmt: skip
_MARKS: Final = tuple(f" {level}:  " for level in _LEVELS)

_Fields = dict[str, Any]


class Record(NamedTuple):
    """What the log says around a message."""

    time: int
    user: str
    database: str
    pid: int
    address: str
    port: str
    level: str
    message: str
    more: _Fields


def _read(message: str) -> Record | None:
    if message[:1] == "{":
        return _json(message)
    if message[4:5] == "-" and message[10:11] == " ":
        return _csv(message) if ',"' in message[:64] or ",," in message[:64] else _text(message)
    return None


def _json(line: str) -> Record | None:
    data = load(line)
    if "error_severity" not in data or "message" not in data:
        return None
    pid, port = _number(str(data.pop("pid", ""))), str(data.pop("remote_port", ""))
    names = ("user", "dbname", "remote_host", "error_severity", "message", "timestamp")
    user, database, address, level, message, stamp = (take(data, name) for name in names)
    return Record(moment(stamp), user, database, pid, address, port, level, message, data)


def _csv(line: str) -> Record | None:
    row = next(csv.reader([line]), [])  # not strict: a field behind the message may go on in the next line
    if len(row) < 14:
        return None
    row += [""] * (23 - len(row))
    address, _, port = row[4].rpartition(":") if ":" in row[4] else (row[4], "", "")
    names = {"session_id": row[5], "ps": row[7], "state_code": row[12], "detail": row[14], "application_name": row[22]}
    more = {key: value for key, value in names.items() if value}
    return Record(moment(row[0]), row[1], row[2], _number(row[3]), address, port, row[11], row[13], more)


def _text(line: str) -> Record | None:
    head, bracket, rest = line.partition("] ")
    stamp, _, pid = head.rpartition(" [")
    who, mark, message = rest.partition(":  ")
    who, _, level = who.rpartition(" ")
    user, at, database = who.rpartition("@")
    if not (bracket and mark and level in _LEVELS) or " " in who or (who and not at):
        return None
    if not message.startswith("AUDIT: ") and any(other in f" {message}" for other in _MARKS):
        return None  # one of the two is forged, and nothing says which
    return Record(moment(stamp), user, database, _number(pid.partition("-")[0]), "", "", level, message, {})


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 11 else 0


def pgaudit(message: str, header: Header) -> Event | None:
    """The event of a line that pgaudit wrote."""
    if "AUDIT: " not in message:
        return None
    record = _read(message)
    if record is None or not record.message.startswith("AUDIT: "):
        return None
    row = next(csv.reader([record.message[7:]], strict=True), [])
    if len(row) < 8:
        return None
    kind, statement, part, group, command, object_type, name, text, *parameters = row
    activity = _BY_COMMAND.get(command) or _BY_VERB.get(command.partition(" ")[0], _QUERY)
    fields = _place(record, header)
    if name and object_type in ("TABLE", "VIEW", "INDEX", "SEQUENCE", "MATERIALIZED VIEW", "FOREIGN TABLE"):
        fields["table"] = {"name": name}
    fields["query_info"] = {"query_string": text, "uid": f"{statement}.{part}"}
    unmapped = {**record.more, "audit_type": kind, "class": group, "command": command, "object_type": object_type}
    if name:
        unmapped["object_name"] = name
    if parameters and parameters[0]:
        unmapped["parameters"] = ",".join(parameters)
    return _event(_KINDS[activity], fields, record, unmapped)


def postgres(message: str, header: Header) -> Event | None:
    """The event of a line that tells of a connection, or of a right that was missing."""
    if not any(word in message for word in _WORDS):
        return None
    record = _read(message)
    if record is None:
        return None
    handle = next((handle for start, handle in _STARTS if record.message.startswith(start)), None)
    return handle(record, header) if handle is not None else None


_WORDS: Final = ("connection auth", "disconnection", "uthentication failed", "pg_hba.conf", "not exist", "denied")


def _authorized(record: Record, header: Header) -> Event | None:
    """`connection authorized: user=bob database=x SSL enabled (...)`: fields say the same, where there are any."""
    user, database, _ = _told(record.message[23:])
    record = record._replace(database=record.database or database)
    return _logon(ALLOWED, record.user or user, record, header)


def _told(text: str) -> tuple[str, str, str]:
    """User, database and what follows in `user=bob database=x ...`; names that hold ` database=` are not read."""
    user, _, rest = text.removeprefix("user=").partition(" database=")
    database, _, rest = rest.partition(" ")
    return (user, database, rest) if text.startswith("user=") and " database=" not in rest else ("unknown", "", "")


def _authenticated(record: Record, header: Header) -> Event | None:
    """`connection authenticated: identity="bob" method=md5 (...)`."""
    identity, _, method = record.message[26:].rpartition(" method=")
    user = record.user or identity.removeprefix('identity="').removesuffix('"')
    return _logon(PROVED, user, record, header, method=method)


def _failed(record: Record, header: Header) -> Event | None:
    """`password authentication failed for user "bob"`, `role "bob" does not exist`."""
    if record.level != "FATAL":
        return None
    user = record.user or _quoted(record.message)
    return _logon(REFUSED, user, record, header, reason=record.message)


def _not_let_in(record: Record, header: Header) -> Event | None:
    """`no pg_hba.conf entry for host "192.0.2.7", user "bob", database "shop", no encryption`, and the like.

    The client chooses the names of user and database, and quotes are not escaped in them: where it is not clear where
    the one ends and the other begins, neither is read.
    """
    if record.level != "FATAL":
        return None
    _, _, told = record.message.partition('host "')
    address, _, told = told.partition('", user "')
    names, _, encryption = told.rpartition('", ')
    user, between, database = names.partition('", database "')
    if '"' in user + database or not (encryption and user):
        user, database = "unknown", ""
    elif not between and "replication connection" in record.message:
        database = "replication"
    record = record._replace(address=record.address or address, database=record.database or database)
    return _logon(REFUSED, record.user or user, record, header, reason=record.message)


def _no_database(record: Record, header: Header) -> Event | None:
    """`database "shop" does not exist`, `permission denied for database "shop"`: the login itself had gone well."""
    if record.level != "FATAL":
        return None
    fields = _place(record._replace(database=record.database or _quoted(record.message)), header)
    return _event(NO_DATABASE, fields, record, {**record.more, "reason": record.message})


def _quoted(message: str) -> str:
    """The name between the first and the last quotation mark."""
    return message.partition('"')[2].rpartition('"')[0] or "unknown"


def _disconnection(record: Record, header: Header) -> Event | None:
    """`disconnection: session time: 0:00:01.5 user=bob database=x host=192.0.2.7 port=5000`."""
    user, database, rest = _told(f"user={record.message.partition(' user=')[2]}")
    _, _, place = rest.rpartition("host=")
    address, _, port = place.partition(" port=")
    record = record._replace(
        database=record.database or database, address=record.address or address, port=record.port or port
    )
    return _logon(LEFT, record.user or user or "unknown", record, header)


def _denied(record: Record, header: Header) -> Event | None:
    """`permission denied for table t`."""
    if record.level == "FATAL":
        return _no_database(record, header)
    fields = _place(record, header)
    if record.message.startswith("permission denied for table "):
        fields["table"] = {"name": record.message[28:]}
    return _event(DENIED, fields, record, {**record.more, "reason": record.message})


_STARTS: Final[tuple[tuple[str, Callable[[Record, Header], Event | None]], ...]] = (
    ("connection authorized: ", _authorized),
    ("connection authenticated: ", _authenticated),
    ("disconnection: ", _disconnection),
    *((f"{method} authentication failed for user ", _failed) for method in (
        "password", "Peer", "Ident", "GSSAPI", "SSPI", "PAM", "LDAP", "certificate", "RADIUS", "SCRAM-SHA-256",
    )),
    ("no pg_hba.conf entry for ", _not_let_in),
    ("pg_hba.conf rejects ", _not_let_in),
    ('role "', _failed),
    ('database "', _no_database),
    ("permission denied for ", _denied),
)  # fmt: skip


def _logon(kind: Kind, user: str, record: Record, header: Header, **more: str) -> Event:
    fields: _Fields = {"user": {"name": user}}
    if record.address and record.address != "[local]":
        fields["src_endpoint"] = endpoint(record.address, record.port)
    if header.host:
        fields["dst_endpoint"] = {"hostname": header.host}
    unmapped = {**record.more, **{key: value for key, value in more.items() if value}}
    if record.database:
        unmapped["database"] = record.database
    return _event(kind, fields, record, unmapped, user)


def _place(record: Record, header: Header) -> _Fields:
    """What every event of the class Datastore Activity has: the actor, where it came from, and the database."""
    user = {"name": record.user} if record.user else {"name": "unknown", "type_id": 0}
    source = endpoint(record.address, record.port) if record.address else {"name": "unknown"}
    if record.address == "[local]":
        source = {"hostname": header.host} if header.host else {"name": "local"}
    return {
        "actor": {"user": user}, "src_endpoint": source, "type": "Database", "type_id": 1,
        "database": {"name": record.database or "unknown", "type_id": 1, "type": "Relational"},
    }  # fmt: skip


def _event(kind: Kind, fields: _Fields, record: Record, unmapped: _Fields, user: str = "") -> Event:
    source = record.address if record.address != "[local]" else ""
    return Event(
        kind, fields, user=user or record.user, source=source, pid=record.pid, time=record.time, unmapped=unmapped
    )


POSTGRES: Final = Preset("postgres", postgres, ("postgres", "postgresql"), whole=True)
PGAUDIT: Final = Preset("pgaudit", pgaudit, ("postgres", "postgresql"), whole=True)
