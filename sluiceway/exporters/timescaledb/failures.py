"""What an error of PostgreSQL means: the data is bad, the database may take it later, or an operator must act.

Texts never hold what a server says of a value, which is in its details and context; only its message, cut.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import Final

import asyncpg
from asyncpg import PostgresError

from sluiceway.errors import DeliveryError, PermanentError, RetryableError
from sluiceway.escape import escape

__all__ = ["BROKEN", "PostgresError", "SchemaError", "explain", "is_data", "may_be_schema", "refusal", "refuses_data"]

BROKEN: Final = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, EOFError)
"""What is raised where the connection is lost; OSError also holds the errors of TLS."""

_DATA: Final = ("22", "23", "44", "54", "P0001")
"""Values, constraints, check options, limits of the program, and what a trigger of the user refuses."""
_SCHEMA: Final = ("42", "3F", "22P03", "22P04", "08P01", "0A")
"""What a table that was changed by hand leads to; with the 22P03 of a wrong type no value is wrong."""
_TWICE: Final = ("23505", "23P01")
"""What a row that is there already leads to: the new one alone is refused, whatever others are."""
_NO_PARTITION: Final = "no partition of relation"
_ADVICE: Final = {
    "28": "check 'username', 'password', 'tls' and pg_hba.conf",
    "3D": "create the database that 'database' names",
    "42501": "grant the role what it needs: to own the tables, or INSERT with 'create_schema: false'",
    "53300": "raise max_connections or lower 'pool_size'",
    "53100": "make room on the database's disk",
    "25006": "it is a standby, or set to read only: let 'endpoint' name the primary",
}
_NO_TLS: Final = "the server has no TLS: switch it on there, or set 'tls::insecure: true'"
_NOT_TRUSTED: Final = "let 'tls::ca_file' name the authority of the server's certificate"
_CODES: Final = {"28": "UNAUTHENTICATED", "42501": "PERMISSION_DENIED", "3D": "NOT_FOUND"}


class SchemaError(Exception):
    """The tables are not as they have to be; says which, and what to do."""


def explain(error: BaseException, endpoint: str) -> DeliveryError:
    """Translate what was raised while a batch was written to `endpoint`."""
    if isinstance(error, SchemaError):
        return RetryableError(str(error), code="FAILED_PRECONDITION", advice=str(error))
    if not isinstance(error, PostgresError):
        text = f"the connection to {endpoint} failed: {_said(error)}"
        advice = _NOT_TRUSTED if isinstance(error, ssl.SSLCertVerificationError) else ""
        if isinstance(error, ConnectionError) and "rejected SSL" in str(error):
            advice = _NO_TLS
        if not advice:
            return RetryableError(text, code="UNAVAILABLE", cause=text)
        return RetryableError(f"{text}: {advice}", code="UNAVAILABLE", advice=f"{text}: {advice}")
    state = error.sqlstate or ""
    text = f"{_said(error)} (SQLSTATE {state})"
    if is_data(error):
        return PermanentError(f"PostgreSQL refuses the data: {refusal(error)}", code="INVALID_ARGUMENT")
    advice = _of(_ADVICE, state)
    if advice or may_be_schema(error):
        advice = f"{text}: {advice or 'the tables are not as they were made'}"
    return RetryableError(advice or text, code=_of(_CODES, state) or "UNAVAILABLE", advice=advice)


def may_be_schema(error: BaseException) -> bool:
    """Whether the tables ought to be looked at before the next attempt."""
    state = getattr(error, "sqlstate", None) or ""
    return state.startswith(_SCHEMA) or (state == "23514" and _NO_PARTITION in str(error))


def is_data(error: PostgresError) -> bool:
    """Whether rows were refused for what they hold."""
    return (error.sqlstate or "").startswith(_DATA) and not may_be_schema(error)


def refuses_data(error: PostgresError) -> bool:
    """The same, where it may as well be that the table takes no rows at all."""
    return is_data(error) and error.sqlstate not in _TWICE


def refusal(error: PostgresError) -> str:
    """A refusal of rows by its kind and what it names, without its message, which may hold a value."""
    named = [(what, getattr(error, f"{what}_name", None)) for what in ("constraint", "column")]
    kind = "".join(f", {what} {escape(str(name))[:63]}" for what, name in named if name)
    return f"{type(error).__name__}{kind} (SQLSTATE {error.sqlstate})"


def _of(table: dict[str, str], state: str) -> str:
    return table.get(state) or table.get(state[:2], "")


def _said(error: BaseException) -> str:
    """What an error says, without its details; the system's own word where there is one."""
    if isinstance(error, asyncio.TimeoutError):
        return "timed out"
    if isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno) if error.errno > 0 else str(error.strerror)
    text = getattr(error, "message", None) or str(error)
    return escape(str(text))[:200] or type(error).__name__
