"""OTTL's converters by name: those that conditions can use, and those that are known and cannot be used yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from sluiceway.ottl.errors import OttlError
from sluiceway.ottl.syntax import Call, Expression

__all__ = ["SIGNATURES", "Signature", "arguments", "unknown"]


@dataclass(frozen=True, slots=True)
class Signature:
    """The names of a function's arguments, and whether it says true or false."""

    arguments: tuple[str, ...]
    is_truth: bool = True


SIGNATURES: Final[Mapping[str, Signature]] = {
    "IsMatch": Signature(("target", "pattern")),
    "HasPrefix": Signature(("target", "prefix")),
    "HasSuffix": Signature(("target", "suffix")),
    "IsString": Signature(("target",)),
    "IsBool": Signature(("target",)),
    "IsInt": Signature(("target",)),
    "IsDouble": Signature(("target",)),
    "IsList": Signature(("target",)),
    "IsMap": Signature(("target",)),
    "IsRootSpan": Signature(()),
    "HasAttrKeyOnDatapoint": Signature(("key",)),
    "HasAttrOnDatapoint": Signature(("key", "expected_val")),
    "TraceID": Signature(("bytes",), is_truth=False),
    "SpanID": Signature(("bytes",), is_truth=False),
}
"""What can be used."""

_LATER: Final = frozenset({
    "Base64Decode", "Base64Encode", "Bool", "Coalesce", "CommunityID", "Concat", "ContainsValue",
    "ConvertAttributesToElementsXML", "ConvertCase", "ConvertTextToElementsXML", "Day", "Decode", "Double", "Duration",
    "ExtractGrokPatterns", "ExtractPatterns", "FNV", "Format", "FormatTime", "GetXML", "Hex", "Hour", "Hours", "Index",
    "InsertXML", "Int", "IsInCIDR", "IsValidLuhn", "Keys", "Len", "Log", "MD5", "Microseconds", "Milliseconds",
    "Minute", "Minutes", "Month", "Murmur3Hash", "Murmur3Hash128", "Nanosecond", "Nanoseconds", "Now", "ParseCSV",
    "ParseInt", "ParseJSON", "ParseKeyValue", "ParseSeverity", "ParseSimplifiedXML", "ParseXML", "ProfileID",
    "RemoveXML", "Second", "Seconds", "SHA1", "SHA256", "SHA512", "SliceToMap", "Sort", "Split", "String", "Substring",
    "Time", "ToCamelCase", "ToKeyValueString", "ToLowerCase", "ToSnakeCase", "ToUpperCase", "Trim", "TrimPrefix",
    "TrimSuffix", "TruncateTime", "Unix", "UnixMicro", "UnixMilli", "UnixNano", "UnixSeconds", "URL", "UserAgent",
    "UUID", "UUIDv7", "Values", "Weekday", "XXH128", "XXH3", "Year",
})  # fmt: skip


def unknown(call: Call) -> OttlError:
    """Say that a function is not there, or not yet."""
    if call.name in _LATER:
        return OttlError(f'the function "{call.name}" is not supported in conditions yet', call.column)
    close = get_close_matches(call.name, [*SIGNATURES, *_LATER], 1)
    hint = f'; did you mean "{close[0]}"?' if close else ""
    return OttlError(f'undefined function "{call.name}"{hint}', call.column)


def arguments(call: Call) -> tuple[Expression, ...]:
    """Put the arguments of a call into the order of its signature. Raises `OttlError` where they do not fit."""
    signature = SIGNATURES.get(call.name)
    if signature is None:
        raise unknown(call)
    if call.keys:
        raise OttlError(f'what "{call.name}" gives cannot be indexed', call.keys[0].column)
    wanted = signature.arguments
    named = dict(call.named)
    for name, value in call.named:
        if name not in wanted[len(call.arguments) :]:
            raise OttlError(f'"{call.name}" has no argument "{name}", or has it already', value.column)
    found = [*call.arguments, *(named[name] for name in wanted[len(call.arguments) :] if name in named)]
    if len(found) != len(wanted):
        text = f'"{call.name}" takes {len(wanted)} arguments ({", ".join(wanted)}), not {len(found)}'
        raise OttlError(text, call.column)
    return tuple(found)
