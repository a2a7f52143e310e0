"""Secrets that never print, and the headers made of them."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

__all__ = ["Headers", "Opaque"]

REDACTED: Final = "[REDACTED]"


class Opaque:
    """A secret text that never prints: it shows as `[REDACTED]` everywhere, and only `reveal` gives it away."""

    __slots__ = ("_secret",)

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def reveal(self) -> str:
        """Return the secret, to be used and not to be shown."""
        return self._secret

    def __repr__(self) -> str:
        return REDACTED

    def __format__(self, spec: str) -> str:
        return format(REDACTED, spec)

    def __bool__(self) -> bool:
        return bool(self._secret)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Opaque):
            return NotImplemented
        return hmac.compare_digest(self._secret.encode("utf-8", "surrogatepass"), other._encoded())

    def __hash__(self) -> int:
        return hash(self._secret)

    def __reduce__(self) -> str:
        raise TypeError("a secret cannot be pickled")

    def __copy__(self) -> Opaque:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Opaque:
        return self

    def _encoded(self) -> bytes:
        return self._secret.encode("utf-8", "surrogatepass")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Accept a string or an `Opaque`.

        Serialises as `[REDACTED]`, unless it is empty or the context says `unredacted`.
        """
        return core_schema.union_schema(
            [
                core_schema.is_instance_schema(cls),
                core_schema.no_info_after_validator_function(cls, core_schema.str_schema(strict=True)),
            ],
            custom_error_type="string_type",
            serialization=core_schema.plain_serializer_function_ser_schema(
                _show, info_arg=True, return_schema=core_schema.str_schema()
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe a secret as a string."""
        return {"type": "string"}


def _show(value: Opaque, info: core_schema.SerializationInfo) -> str:
    context: Mapping[str, object] = info.context or {}
    return value.reveal() if context.get("unredacted") or not value else REDACTED  # that there is none is no secret


class _HeadersRule:
    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_header_map, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        entry = {
            "type": "object",
            "properties": {"name": {"type": "string"}, "value": {"type": "string"}},
            "required": ["name"],
            "additionalProperties": False,
        }
        mapping = {"type": "object", "additionalProperties": {"type": "string"}}
        return {"anyOf": [mapping, {"type": "array", "items": entry}]}


def _header_map(value: object) -> object:
    if not isinstance(value, list):
        return value
    headers: dict[str, object] = {}
    for entry in value:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str) or set(entry) - {"name", "value"}:
            raise PydanticCustomError("headers", "expected a map, or a list of entries with name and value")
        if entry["name"] in headers:
            reason = f"duplicate keys in map-style list: {entry['name']}"
            raise PydanticCustomError("headers", "{reason}", {"reason": reason})
        headers[entry["name"]] = entry.get("value", "")
    return headers


Headers = Annotated[dict[str, Opaque], _HeadersRule()]
"""Headers by name, as written. Given as a map, or as a list of `{name, value}`; the values never print."""
