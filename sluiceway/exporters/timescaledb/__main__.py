"""Prints the SQL of the tables, for those who set `create_schema: false`.

    python -m sluiceway.exporters.timescaledb [--timescaledb] [--schema NAME] [--prefix otel_] [--reader-role NAME]

The role that writes must own the tables, or have INSERT on them, and SELECT, INSERT and DELETE on that of batches.
"""

from __future__ import annotations

import argparse
import sys
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sluiceway.exporters.timescaledb.migrations import VERSION, features, migration, preparations, row_security
from sluiceway.exporters.timescaledb.settings import TimescaleSettings

_OPTIONS: Final = {"schema": "--schema", "table_prefix": "--prefix", "reader_role": "--reader-role"}


def script(arguments: list[str]) -> str:
    """The statements of all migrations, in one transaction."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--timescaledb", action="store_true", help="hypertables; else partitions")
    parser.add_argument("--schema", default="public")
    parser.add_argument("--prefix", default="otel_")
    parser.add_argument("--reader-role", help="turn row-level security on, for this role")
    chosen = parser.parse_args(arguments)
    given: dict[str, object] = {
        "username": "x",
        "database": "x",
        "schema": chosen.schema,
        "table_prefix": chosen.prefix,
    }
    if chosen.reader_role:
        given |= {"row_level_security": True, "reader_role": chosen.reader_role}
    try:
        settings = TimescaleSettings.model_validate(given)
    except ValidationError as error:
        parser.error("; ".join(_said(each) for each in error.errors()))
    statements = [*preparations(settings)]
    for number in range(1, VERSION + 1):
        statements += migration(number, settings, hypertables=chosen.timescaledb)
    if settings.row_level_security:
        statements += (f'CREATE ROLE "{settings.reader_role}" NOLOGIN', *row_security(settings))
    if chosen.timescaledb:
        statements += [step.sql for step in features(settings)]
    return "\n\n".join(f"{statement};" for statement in ("BEGIN", *statements, "COMMIT")) + "\n"


def _said(error: ErrorDetails) -> str:
    return f"argument {_OPTIONS[str(error['loc'][0])]}: {error['msg'].removeprefix('Value error, ')}"


if __name__ == "__main__":
    sys.stdout.write(script(sys.argv[1:]))
