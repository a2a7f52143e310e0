"""What a point is about: a server, a database, a table or an index, each a resource of its own as in the Collector."""

from __future__ import annotations

import uuid
from typing import Any, Final

from sluiceway.scraping import Recorder, Scrape

__all__ = ["Place"]

_SCHEMA: Final = "postgresql.schema.name"


class Place:
    """Gives recorders for one database, or for the server when the database is empty."""

    def __init__(self, scrape: Scrape, host: str, port: int, database: str = "") -> None:
        self.database = database
        self._scrape = scrape
        self._server: dict[str, Any] = {
            "server.address": host,
            "server.port": port,
            "service.instance.id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"postgresql://{host}:{port}")),
        }
        self._own: Recorder | None = None

    def of(self, database: str) -> Place:
        """The place of a database of the same server."""
        return Place(self._scrape, self._server["server.address"], self._server["server.port"], database)

    def recorder(self, *, schema: str = "", table: str = "", index: str = "") -> Recorder:
        """The recorder of the database, or of what is in it."""
        if not schema and self._own is not None:
            return self._own
        resource: dict[str, Any] = {}
        if self.database:
            resource["postgresql.database.name"] = self.database
        if schema and (index or not table):
            resource[_SCHEMA] = schema
        if table:
            resource["postgresql.table.name"] = table if index else f"{schema}.{table}"
        if index:
            resource["postgresql.index.name"] = index
        recorder = self._scrape.resource(resource | self._server, on=() if table else {_SCHEMA})
        if not schema:
            self._own = recorder
        return recorder

    def problem(self, text: str) -> None:
        """Say what could not be read."""
        self._scrape.problem(f"database {self.database}: {text}" if self.database else text)

    def tell_missing(self, found: int, total: int, what: str, setting: str) -> None:
        """Say when a limit has left something out."""
        if found < total:
            self.problem(f"{found} of {total} {what} are measured, as {setting} says")
