"""Whose items a batch holds, and what they cost."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, Self

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from sluiceway.config.rules import exactly_one
from sluiceway.config.types import Settings
from sluiceway.otlp import Batch, Origin, group_resources, resources
from sluiceway.otlp.plan import decode_value
from sluiceway.processors.rate_limiter.admission import Part

__all__ = ["ByConfig", "Keys"]

_LONGEST: Final = 256
"""Bytes of the longest key."""
_MOST: Final = 1000
"""Keys that are told apart in one request; what is beyond has none. Each costs microseconds, and entries are cheap."""
_REMEMBERED: Final = 4096
"""Decoded attribute values that are kept."""
_WANTED: Final = "'by' is tenant, subject, or exactly one of the keys header and attribute"
_SHORT: Final = {"subject": {"subject": True}, "tenant": {"attribute": "tenant.id"}}


class ByConfig(Settings):
    """Where the key comes from: exactly one of these, or the word `subject` or `tenant`."""

    model_config = ConfigDict(json_schema_extra=exactly_one("subject", "header", "attribute"))

    subject: bool = False
    """Who the sender was proved to be."""
    header: str = Field(default="")
    """A request header; its receiver needs `include_metadata: true`."""
    attribute: str = Field(default="")
    """A resource attribute."""

    @model_validator(mode="before")
    @classmethod
    def _name(cls, data: Any) -> Any:
        if isinstance(data, str) and data not in _SHORT:
            raise ValueError(_WANTED)
        return _SHORT[data] if isinstance(data, str) else data

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Take the words as well as the keys."""
        return {"anyOf": [{"enum": list(_SHORT)}, handler(schema)]}

    @property
    def headers_read(self) -> tuple[tuple[str, str], ...]:
        """The header that is asked for."""
        return (("header", self.header),) if self.header else ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if sum(map(bool, (self.subject, self.header, self.attribute))) != 1:
            raise ValueError(_WANTED)
        return self


class Keys:
    """Sorts a batch by key. Where there is no key it is the empty text."""

    def __init__(self, by: ByConfig | None, *, by_items: bool) -> None:
        self._by = by
        self._header = by.header.lower() if by is not None else ""
        self._by_items = by_items

    def parts(self, batch: Batch) -> list[Part]:
        """The parts of a batch: one for each key by a resource attribute, else one with the whole."""
        if self._by is None:
            return [self._part("", batch)]
        if not self._by.attribute:
            return [self._part(self._of(batch.origin), batch)]
        return self._by_resource(batch, self._by.attribute)

    def _by_resource(self, batch: Batch, attribute: str) -> list[Part]:
        places: dict[str, int] = {}
        known: dict[bytes | None, int] = {}
        groups: list[int] = []
        for _, (value,) in resources(batch, (attribute,)):
            place = known.get(value)
            if place is None:
                key = _key_of(value) if len(places) < _MOST else ""
                place = known[value] = places.setdefault(key, len(places))
            groups.append(place)
        if len(places) == 1:
            return [self._part(key, batch) for key in places]
        parts = group_resources(batch, groups, len(places))
        return [self._part(key, part) for key, part in zip(places, parts, strict=True)]

    def _part(self, key: str, batch: Batch) -> Part:
        return Part(key, batch, self._by_items)

    def _of(self, origin: Origin) -> str:
        if not self._header:
            return _bounded(origin.subject or "")
        values = origin.headers.get(self._header, ())
        return _bounded(values[0]) if len(values) == 1 else ""


def _key_of(value: bytes | None) -> str:
    return "" if value is None or len(value) > 2 * _LONGEST else _decode(value)


@lru_cache(maxsize=_REMEMBERED)
def _decode(value: bytes) -> str:
    found = decode_value(value)
    return _bounded(str(found)) if isinstance(found, str | int) else ""


def _bounded(text: str) -> str:
    return text if len(text) <= _LONGEST and len(text.encode("utf-8", "surrogatepass")) <= _LONGEST else ""
