"""Where a tenant may come from, and what of it is valid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, Self, TypeAlias

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from sluiceway.config.rules import exactly_one
from sluiceway.config.types import Settings
from sluiceway.errors import SenderError
from sluiceway.otlp import Origin
from sluiceway.otlp.plan import decode_value

__all__ = ["Claims", "Ids", "SourceConfig"]

_LONGEST: Final = 256
"""Bytes of the longest id."""
_LONGEST_VALUE: Final = 1024
"""Bytes of the longest attribute value that is looked at: no cache may be filled with long ones."""
_REMEMBERED: Final = 4096
"""Verdicts that are kept for each source."""


class MapConfig(Settings):
    """A table from the values of a resource attribute to tenants."""

    attribute: str = Field(min_length=1)
    """The resource attribute to look up, such as `service.name`."""
    values: dict[str, str]
    """The tenant for each of its values."""


class SourceConfig(Settings):
    """One source of the tenant: exactly one of the keys, or the word `subject`."""

    model_config = ConfigDict(json_schema_extra=exactly_one("subject", "header", "attribute", "map"))

    subject: bool = False
    """Who the sender was proved to be."""
    header: str = ""
    """A request header."""
    attribute: str = ""
    """A resource attribute that the sender set."""
    map: MapConfig | None = None
    """A table from the values of a resource attribute."""

    @model_validator(mode="before")
    @classmethod
    def _name(cls, data: Any) -> Any:
        return {"subject": True} if data == "subject" else data

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Take the word as well as the keys."""
        return {"anyOf": [{"const": "subject"}, handler(schema)]}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if sum(map(bool, (self.subject, self.header, self.attribute, self.map))) != 1:
            raise ValueError("a source is 'subject' or has exactly one of the keys header, attribute and map")
        return self

    @property
    def headers_read(self) -> tuple[tuple[str, str], ...]:
        """The header that this source asks for."""
        return (("header", self.header),) if self.header else ()

    @property
    def key(self) -> str:
        """The resource attribute that must be looked at, if any."""
        return self.map.attribute if self.map else self.attribute

    @property
    def mapped(self) -> Iterable[str]:
        """The tenants that a map names."""
        return self.map.values.values() if self.map else ()


class Ids:
    """Judges ids. Verdicts are remembered, a bounded number of them."""

    def __init__(self, pattern: str) -> None:
        import re2

        self._matches = re2.compile(pattern).fullmatch
        self.valid: Callable[[str], bool] = lru_cache(maxsize=_REMEMBERED)(self._judge)

    def _judge(self, text: str) -> bool:
        return len(text.encode("utf-8", "surrogatepass")) <= _LONGEST and self._matches(text) is not None


class Request(NamedTuple):
    """What the request alone says: its tenant, and whether its sender may claim one by other means."""

    tenant: str | None
    is_open: bool


Lookup: TypeAlias = Callable[[tuple[bytes | None, ...], Mapping[str, str]], str | None]


class Claims:
    """Asks sources in order. `keys` are the resource attributes that `of_resource` wants to see."""

    def __init__(self, sources: Sequence[SourceConfig], ids: Ids) -> None:
        self._ids = ids
        self._asks_subject = any(source.subject for source in sources)
        rest = [source for source in sources if not source.subject]
        self._first_headers: list[str] = []
        while rest and rest[0].header:
            self._first_headers.append(rest.pop(0).header.lower())
        self._later_headers = [source.header.lower() for source in rest if source.header]
        self.keys = tuple(dict.fromkeys(source.key for source in rest if source.key))
        self._lookups = [self._lookup(source) for source in rest]

    def of_request(self, origin: Origin) -> Request:
        """Look at the subject and at the headers that come before any attribute."""
        if self._asks_subject and origin.subject is not None:
            return Request(origin.subject if self._is_valid(origin.subject) else None, is_open=False)
        for name in self._first_headers:
            if (tenant := self._header(origin, name)) is not None:
                return Request(tenant, is_open=True)
        return Request(None, is_open=True)

    def headers(self, origin: Origin) -> dict[str, str]:
        """Return the valid ids in the headers that come after some attribute."""
        found = {name: self._header(origin, name) for name in self._later_headers}
        return {name: tenant for name, tenant in found.items() if tenant is not None}

    def of_resource(self, values: tuple[bytes | None, ...], headers: Mapping[str, str]) -> str | None:
        """Look at one resource, by the encoded values of its attributes in the order of `keys`."""
        for lookup in self._lookups:
            if (tenant := lookup(values, headers)) is not None:
                return tenant
        return None

    def _is_valid(self, text: str) -> bool:
        return len(text) <= _LONGEST and self._ids.valid(text)

    def _header(self, origin: Origin, name: str) -> str | None:
        values = origin.headers.get(name)
        if not values:
            return None
        if len(values) > 1:
            raise SenderError("the request names its tenant more than once")
        return values[0] if self._is_valid(values[0]) else None

    def _lookup(self, source: SourceConfig) -> Lookup:
        if source.header:
            name = source.header.lower()
            return lambda _, headers: headers.get(name)
        place = self.keys.index(source.key)
        tenants = source.map.values if source.map else None

        @lru_cache(maxsize=_REMEMBERED)
        def judge(value: bytes) -> str | None:
            text = decode_value(value)
            if not isinstance(text, str):
                return None
            if tenants is not None:
                return tenants.get(text)
            return text if self._is_valid(text) else None

        def look(values: tuple[bytes | None, ...], _: Mapping[str, str]) -> str | None:
            value = values[place]
            return judge(value) if value is not None and len(value) <= _LONGEST_VALUE else None

        return look
