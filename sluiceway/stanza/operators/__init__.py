"""The operators of log receivers, by the names and keys of the Collector, each in a module of its subject."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, Union

from pydantic import AfterValidator, BeforeValidator, ValidationInfo
from pydantic import Field as PydanticField

from sluiceway.config.nearest import nearest
from sluiceway.config.settings import Mistake, mistake, mistakes
from sluiceway.stanza.operators.container import Container
from sluiceway.stanza.operators.edits import (
    Add,
    AssignKeys,
    Copy,
    Flatten,
    Move,
    RegexReplace,
    Remove,
    Retain,
    Unquote,
)
from sluiceway.stanza.operators.flow import Filter, Noop, Recombine, Router, Stdout
from sluiceway.stanza.operators.json import JsonArrayParser, JsonParser
from sluiceway.stanza.operators.operator import Operator
from sluiceway.stanza.operators.regex import RegexParser
from sluiceway.stanza.operators.scope import ScopeNameParser
from sluiceway.stanza.operators.severity import SeverityParser
from sluiceway.stanza.operators.syslog import SyslogParser
from sluiceway.stanza.operators.texts import CsvParser, KeyValueParser, UriParser
from sluiceway.stanza.operators.timestamp import TimeParser
from sluiceway.stanza.operators.trace import TraceParser
from sluiceway.stanza.wiring import numbered, wire

__all__ = ["OPERATORS", "Operators"]

OPERATORS: Final[dict[str, type[Operator]]] = {
    "add": Add,
    "assign_keys": AssignKeys,
    "container": Container,
    "copy": Copy,
    "csv_parser": CsvParser,
    "filter": Filter,
    "flatten": Flatten,
    "json_array_parser": JsonArrayParser,
    "json_parser": JsonParser,
    "key_value_parser": KeyValueParser,
    "move": Move,
    "noop": Noop,
    "recombine": Recombine,
    "regex_parser": RegexParser,
    "regex_replace": RegexReplace,
    "remove": Remove,
    "retain": Retain,
    "router": Router,
    "scope_name_parser": ScopeNameParser,
    "severity_parser": SeverityParser,
    "stdout": Stdout,
    "syslog_parser": SyslogParser,
    "time_parser": TimeParser,
    "trace_parser": TraceParser,
    "unquote": Unquote,
    "uri_parser": UriParser,
}
"""The settings of every operator, by its type."""
_MAX_OPERATORS: Final = 500


def _operator(value: Any, info: ValidationInfo) -> Operator:
    if isinstance(value, Operator):
        return value
    if not isinstance(value, dict):
        raise mistake("an operator is a map with a key `type`")
    kind = value.get("type")
    if not isinstance(kind, str):
        raise mistake("missing required field `type`")
    model = OPERATORS.get(kind)
    if model is None:
        raise mistake(f'unsupported operator type "{kind[:100]}"{nearest(kind, OPERATORS)}', "type")
    operator = model.model_validate(value, context=info.context)
    if not isinstance(operator, Filter | Router | Recombine):
        try:
            operator.step()
        except ValueError as error:
            raise mistake(str(error)) from None
    return operator


def _wired(operators: tuple[Operator, ...]) -> tuple[Operator, ...]:
    if len(operators) > _MAX_OPERATORS:
        raise mistake(f"there are at most {_MAX_OPERATORS} operators")
    operators = numbered(operators)
    found = wire(operators).faults
    if found:
        raise mistakes([Mistake(message, path) for message, path in found])
    return operators


if TYPE_CHECKING:
    Operators: TypeAlias = tuple[Operator, ...]
else:
    _One = Annotated[
        Union[tuple(OPERATORS.values())],  # noqa: UP007 - made of a table
        PydanticField(discriminator="type"),
        BeforeValidator(_operator),
    ]
    Operators = Annotated[tuple[_One, ...], AfterValidator(_wired)]
"""The setting `operators`: a list of maps, each with a `type`."""
