"""The root of every configuration model, and the optional sections in it.

`Settings` decodes as the Collector does: unknown keys are refused, no type is guessed (`"5"` is no number), and null
means "keep the default". Unlike in the Collector, a nested model given in part takes its *own* defaults for the rest;
where a component wants others, it subclasses the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, PydanticUndefined, core_schema

__all__ = ["Mistake", "NullText", "Section", "Settings", "is_section", "mistake", "mistakes", "walk"]

M = TypeVar("M")


class NullText(str):
    """The text of a `${...}` reference that reads as null, such as that of an unset variable.

    A string field takes it as it is, a field that may be None takes it as None, and for any other the loader puts the
    type's zero value.
    """

    __slots__ = ()


_SCALARS = ("int", "float", "bool", "str")
_NAMED = ("fields", "choices")  # these hold schemas by name
_VALUES = ("default", "metadata", "serialization", "expected", "cls", "function", "ref", "schema_ref")


def _make_strict(schema: Any) -> None:
    if isinstance(schema, list | tuple):
        for part in schema:
            _make_strict(part)
    elif isinstance(schema, dict):
        if schema.get("type") in _SCALARS:
            schema["strict"] = True
        for key, part in schema.items():
            if key in _NAMED and isinstance(part, dict):
                _make_strict(list(part.values()))
            elif key not in _VALUES:
                _make_strict(part)


class Settings(BaseModel):
    """The one root of all configuration models: frozen, unknown keys refused, no weak typing.

    Each field is followed by a docstring, which is its documentation. None-valued keys are left out when settings are
    serialised, unless None is not their default, and what comes out can be loaded again.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
        arbitrary_types_allowed=True,
        protected_namespaces=(),
    )

    def __eq__(self, other: object) -> bool:
        # Unlike pydantic, whether a value was written or is the default makes no difference: a reload depends on it.
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Make every scalar strict, and leave lists and enums as they are."""
        schema = handler(source)
        _make_strict(schema)
        return schema

    @model_validator(mode="before")
    @classmethod
    def _keep_defaults_for_null(cls, data: Any) -> Any:
        if data is None:
            return {}
        if not isinstance(data, Mapping):
            return data
        nullable = _nullable_keys(cls)
        kept: dict[Any, Any] = {}
        for key, value in data.items():
            if key in nullable:
                kept[key] = None if isinstance(value, NullText) else value
            elif value is not None or key not in _keys(cls):
                kept[key] = value
        return kept

    @model_serializer(mode="wrap")
    def _leave_out_none(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = dump(self)
        for name, field in type(self).model_fields.items():
            for key in (field.alias, name):
                if key in written and written[key] is None:
                    if field.get_default(call_default_factory=False) in (None, PydanticUndefined):
                        del written[key]
                    elif is_section(field):
                        written[key] = {"enabled": False}
        return written


def mistake(message: str, *path: str | int) -> ValidationError:
    """What a validator raises for a mistake at `path` inside of what it was given, so that it is reported there."""
    return mistakes([Mistake(message, path)])


class Mistake(NamedTuple):
    """What is wrong at a path inside of what a validator was given."""

    message: str
    path: tuple[str | int, ...] = ()


def mistakes(found: Iterable[Mistake]) -> ValidationError:
    """As `mistake`, for several."""
    return ValidationError.from_exception_data(
        "mistake",
        [
            {"type": PydanticCustomError("mistake", "{reason}", {"reason": message}), "loc": path, "input": None}
            for message, path in found
        ],
        hide_input=True,
    )


def walk(settings: BaseModel, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], BaseModel]]:
    """Give a model and every model in it, each with the keys that lead to it as YAML spells them."""
    yield path, settings
    for name, field in type(settings).model_fields.items():
        yield from _walk_value(getattr(settings, name), (*path, field.alias or name))


def _walk_value(value: object, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], BaseModel]]:
    match value:
        case BaseModel():
            yield from walk(value, path)
        case Mapping():
            for key, part in value.items():
                yield from _walk_value(part, (*path, key))
        case list() | tuple():
            for index, part in enumerate(value):
                yield from _walk_value(part, (*path, index))


def is_section(field: FieldInfo) -> bool:
    """Say whether a field was declared as a `Section`."""
    return any(isinstance(mark, _SectionRule) for mark in field.metadata)


@lru_cache(maxsize=512)
def _keys(model: type[Settings]) -> frozenset[str]:
    return frozenset(field.alias or name for name, field in model.model_fields.items())


@lru_cache(maxsize=512)
def _nullable_keys(model: type[Settings]) -> frozenset[str]:
    return frozenset(
        field.alias or name for name, field in model.model_fields.items() if accepts_none(field.annotation)
    )


def accepts_none(annotation: Any) -> bool:
    """Say whether a value of this annotated type may be None."""
    if annotation is Any or annotation is None or annotation is NoneType or annotation is object:
        return True
    if get_origin(annotation) is Annotated:
        return accepts_none(get_args(annotation)[0])
    return get_origin(annotation) in (Union, UnionType) and any(map(accepts_none, get_args(annotation)))


class _SectionRule:
    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        model = next((part for part in get_args(source) if part is not NoneType), None)
        declares_enabled = isinstance(model, type) and issubclass(model, BaseModel) and "enabled" in model.model_fields

        def decode(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
            if value is None:
                return validate({})
            if not isinstance(value, Mapping) or "enabled" not in value:
                return validate(value)
            enabled = value["enabled"]
            rest = value if declares_enabled else {key: part for key, part in value.items() if key != "enabled"}
            if not isinstance(enabled, bool):
                raise ValidationError.from_exception_data(
                    "section", [{"type": "bool_type", "loc": ("enabled",), "input": enabled}], hide_input=True
                )
            settings = validate(rest)
            return settings if enabled else None

        return core_schema.no_info_wrap_validator_function(decode, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        written = handler(schema)
        for part in written.get("anyOf", []):
            model = handler.resolve_ref_schema(part)
            if "properties" in model:
                model["properties"].setdefault(
                    "enabled", {"type": "boolean", "description": "Whether the section is in force."}
                )
        return written


Section = Annotated[M | None, _SectionRule()]
"""An optional section: `Section[Model] = None` is off unless the key is there, `= Model()` on unless switched off.

`key:` with nothing after it switches the section on with its defaults, and `enabled: false` switches it off whatever
else it holds (which is still checked). The value is the model, or None when the section is off.
"""
