"""`severity_parser`, and the block `severity` of parsers."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field as PydanticField
from pydantic import model_validator

from sluiceway.config.settings import Settings, mistake
from sluiceway.stanza.entry import Entry
from sluiceway.stanza.fields import MISSING, FieldName, field
from sluiceway.stanza.operators.operator import Operator, Step

__all__ = ["NUMBERS", "Severity", "SeverityParser"]

_LEVELS: Final = ("trace", "debug", "info", "warn", "error", "fatal")
NUMBERS: Final = {
    f"{level}{step or ''}": 1 + 4 * at + max(step - 1, 0) for at, level in enumerate(_LEVELS) for step in (0, 2, 3, 4)
} | {"default": 0}
"""The aliases of severities: `trace` is 1, `fatal4` is 24, `default` none."""
NAMES: Final = {number: alias.upper() for alias, number in NUMBERS.items() if number}
_WORDS: Final = {
    "warning": "warn", "err": "error", "critical": "error2", "crit": "error2", "alert": "error3", "notice": "info2",
    "information": "info", "dbg": "debug", "emerg": "fatal", "emergency": "fatal", "panic": "fatal2",
}  # fmt: skip
"""Further words that the preset `default` knows."""
_MAX_RANGE: Final = 1000

Preset: TypeAlias = Literal["default", "none"]


class Severity(Settings):
    """Where the severity stands, and what its values mean."""

    parse_from: FieldName
    """The field with the severity."""
    preset: Preset = "default"
    """Whether each alias, and words such as `warning` and `err`, mean what they say."""
    mapping: Annotated[dict[str, Any], PydanticField(default_factory=dict)]
    """For each alias a value, a list of values, a range `{min, max}`, or `2xx` to `5xx`."""
    overwrite_text: bool = False
    """Whether the severity's text becomes the short name, as ERROR or INFO3, instead of what was read."""

    @model_validator(mode="after")
    def _check(self) -> Severity:
        _table(self.preset, self.mapping)
        return self

    def step(self) -> Step:
        """Read the severity."""
        return _step(self.parse_from, _table(self.preset, self.mapping), self.overwrite_text)


class SeverityParser(Severity, Operator):
    """Reads an entry's severity from a field."""

    type: Literal["severity_parser"]
    """Which operator it is."""


def _table(preset: Preset, mapping: dict[str, Any]) -> dict[str, int]:
    """Lower-case texts and what they mean. Raises a mistake at the key of the mapping."""
    found: dict[str, int] = {}
    if preset == "default":
        found = {alias: number for alias, number in NUMBERS.items() if number}
        found |= {word: NUMBERS[alias] for word, alias in _WORDS.items()}
    for alias, values in mapping.items():
        number = NUMBERS.get(str(alias).lower())
        if number is None:
            raise mistake(f"unrecognized severity level: {str(alias)[:50]}", "mapping", alias)
        try:
            found |= dict.fromkeys(_values(values), number)
        except ValueError as error:
            raise mistake(str(error), "mapping", alias) from None
    return found


def _values(value: Any) -> set[str]:
    match value:
        case list() | tuple():
            return set().union(*map(_values, value))
        case dict():
            return _range(value)
        case bool() | None | float():
            raise ValueError("type cannot be parsed as a severity: a text, an integer, a range or a list is needed")
        case int():
            return {str(value)}
        case str() if len(value) == 3 and value[0] in "2345" and value[1:].lower() == "xx":
            return {str(code) for code in range(int(value[0]) * 100, int(value[0]) * 100 + 100)}
    return {str(value).lower()}


def _range(value: dict[Any, Any]) -> set[str]:
    ends = (value.get("min"), value.get("max"))
    if set(value) != {"min", "max"} or not all(type(end) is int for end in ends):
        raise ValueError("a range needs the integers min and max, and nothing else")
    low, high = ends
    if not 0 <= high - low < _MAX_RANGE:  # type: ignore[operator]
        raise ValueError(f"a range goes from min up to max, and has at most {_MAX_RANGE} values")
    return {str(number) for number in range(low, high + 1)}  # type: ignore[operator, arg-type]


def _step(parse_from: str, table: dict[str, int], overwrite: bool) -> Step:
    get, numbers = field(parse_from).get, table.get

    def step(entry: Entry) -> None:
        value = get(entry)
        if value is MISSING:
            raise ValueError("log entry does not have the expected parse_from field")
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
            value = int(value)  # a JSON number
        written = value if type(value) is str else _written(value)
        number = numbers(written.lower(), 0)
        entry.severity = number
        entry.severity_text = NAMES[number] if overwrite and number else written

    return step


def _written(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"type {type(value).__name__} cannot be a severity")
