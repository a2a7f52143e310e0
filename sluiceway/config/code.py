"""Python files that a configuration names: where they are, and how they are run."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from sluiceway.errors import ConfigError

__all__ = ["BesidePath", "execute", "read_source"]


class _BesideRule:
    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_after_validator_function(_beside, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema)


def _beside(path: str, info: ValidationInfo) -> str:
    folder = (info.context or {}).get("folder")
    return str(Path(folder) / path) if folder is not None and path else path


BesidePath = Annotated[str, _BesideRule()]
"""The path of a file; a relative one begins at the folder of the configuration file that names it."""


def read_source(path: Path) -> bytes:
    """Read a Python file. Raises `ConfigError` when it cannot be read."""
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the path is not valid"
        raise ConfigError(f"unable to read the file {path}: {reason}") from None


def execute(path: Path, source: bytes) -> ModuleType:
    """Run a Python file as a module of its own. Raises `ConfigError` that says what is wrong with it, and where."""
    module = ModuleType(f"sluiceway_file_{path.stem}_{abs(hash(path)):x}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and type hints look their module up
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102 - the user names their own code
    except SyntaxError as error:
        raise ConfigError(f"{path.name}, line {error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{path.name} cannot be imported: {error.__class__.__name__}: {error}") from error
    return module
