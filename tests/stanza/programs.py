"""Programs from YAML text, for tests."""

from __future__ import annotations

from typing import Any

import yaml

from sluiceway.component import Context, Kind, Reason
from sluiceway.config.settings import Settings
from sluiceway.stanza import Entry, Program, compile_operators
from sluiceway.stanza.operators import Operators

NOW = 1_700_000_000_000_000_000  # 2023-11-14T22:13:20Z


class Holder(Settings):
    """A receiver's settings, as far as operators go."""

    operators: Operators = ()
    """The operators."""


def program(text: str, drops: list[Any] | None = None) -> Program:
    """Compile a list of operators."""

    def drop(items: int, reason: Reason, *, intended: bool = False, tenant: str = "") -> None:
        if drops is not None:
            drops.append((items, reason, intended))

    loaded = Holder.model_validate({"operators": yaml.safe_load(text)})
    return compile_operators(loaded.operators, Context("file_log", Kind.RECEIVER, drop=drop))


def run(text: str, *bodies: Any, **attributes: Any) -> list[Entry]:
    """Take entries with these bodies through operators."""
    return program(text).run([Entry(body, NOW, dict(attributes), {}) for body in bodies], NOW)


def one(text: str, body: Any, **attributes: Any) -> Entry:
    """Take one entry through operators that let it pass."""
    (entry,) = run(text, body, **attributes)
    return entry
