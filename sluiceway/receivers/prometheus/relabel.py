"""Relabelling, as Prometheus has it: rules that rewrite, keep or drop a set of labels.

https://prometheus.io/docs/prometheus/latest/configuration/configuration/#relabel_config
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from sluiceway.config.settings import mistake
from sluiceway.config.types import AnyCase, Settings

if TYPE_CHECKING:
    from sluiceway.receivers.prometheus.exposition import Labels

__all__ = ["Relabel", "relabel"]

_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_REFERENCE: Final = re.compile(r"\$(?:(\$)|\{([A-Za-z0-9_]+)\}|([A-Za-z0-9_]+))")


class Relabel(Settings):
    """One rule."""

    source_labels: tuple[str, ...] = ()
    """The labels whose values, joined by the separator, the rule looks at."""
    separator: str = ";"
    """What stands between the values."""
    target_label: str = ""
    """The label that is written."""
    regex: str | int | float = "(.*)"
    """An RE2 pattern for the whole value (for names in the actions `labelmap`, `labeldrop`, `labelkeep`)."""
    modulus: int = Field(default=0, ge=0)
    """What the action `hashmod` divides by."""
    replacement: str | int | float = "$1"
    """What is written, with `$1` or `${name}` for what groups of the pattern found. In this file each `$` is `$$`."""
    action: Annotated[
        Literal[
            "replace", "keep", "drop", "keepequal", "dropequal", "hashmod",
            "labelmap", "labeldrop", "labelkeep", "lowercase", "uppercase",
        ],
        AnyCase(),
    ] = "replace"  # fmt: skip
    """What the rule does."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            _ = self.pattern
        except ValueError as error:
            raise mistake(str(error), "regex") from None
        needs = ("replace", "hashmod", "lowercase", "uppercase", "keepequal", "dropequal")
        if self.action in needs and not self.target_label:
            raise mistake(f"relabel configuration for {self.action} action requires 'target_label' value")
        if self.action == "hashmod" and not self.modulus:
            raise mistake("relabel configuration for hashmod requires non-zero modulus", "modulus")
        if self.action in needs[1:] and not _LABEL.fullmatch(self.target_label):
            raise mistake(f"\"{self.target_label}\" is invalid 'target_label' for {self.action} action", "target_label")
        if self.action in ("keepequal", "dropequal") and self.model_fields_set & {"regex", "modulus", "replacement"}:
            raise mistake(f"{self.action} action requires only 'source_labels' and `target_label`, and no other fields")
        if self.action in ("labeldrop", "labelkeep") and self.model_fields_set - {"action", "regex"}:
            raise mistake(f"{self.action} action requires only 'regex', and no other fields")
        return self

    @cached_property
    def pattern(self) -> Any:
        """The pattern, compiled. Raises `ValueError` with RE2's reason."""
        import re2

        options = re2.Options()
        options.log_errors = False
        try:
            return re2.compile(f"(?s:{self.regex})", options)
        except re2.error as error:
            reason = error.args[0] if error.args else "not valid"
            text = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
            raise ValueError(f'invalid regex "{self.regex}": {text}') from None

    def apply(self, labels: Labels) -> bool:
        """Change labels as the rule says; false when what they stand for is dropped."""
        value = self.separator.join([labels.get(name, "") for name in self.source_labels])
        match self.action:
            case "keep":
                return self.pattern.fullmatch(value) is not None
            case "drop":
                return self.pattern.fullmatch(value) is None
            case "keepequal":
                return labels.get(self.target_label, "") == value
            case "dropequal":
                return labels.get(self.target_label, "") != value
            case "replace":
                self._replace(labels, value)
            case "lowercase":
                _put(labels, self.target_label, value.lower())
            case "uppercase":
                _put(labels, self.target_label, value.upper())
            case "hashmod":
                digest = hashlib.md5(value.encode(), usedforsecurity=False).digest()
                _put(labels, self.target_label, str(int.from_bytes(digest[8:], "big") % self.modulus))
            case _:
                self._by_name(labels)
        return True

    def _replace(self, labels: Labels, value: str) -> None:
        found = self.pattern.fullmatch(value)
        if found is None:
            return
        target = _expand(self.target_label, found)
        if target:
            _put(labels, target, _expand(str(self.replacement), found))

    def _by_name(self, labels: Labels) -> None:
        for name, value in list(labels.items()):
            found = self.pattern.fullmatch(name)
            if self.action == "labelmap" and found is not None:
                _put(labels, _expand(str(self.replacement), found), value)
            elif (self.action == "labeldrop" and found) or (self.action == "labelkeep" and not found):
                del labels[name]


def relabel(labels: Labels, rules: Sequence[Relabel]) -> bool:
    """Apply rules in their order; false when one of them drops what the labels stand for."""
    return all(rule.apply(labels) for rule in rules)


def _put(labels: Labels, name: str, value: str) -> None:
    if value:
        labels[name] = value
    else:
        labels.pop(name, None)


def _expand(template: str, found: Any) -> str:
    """Fill a template as Go's `Regexp.Expand` does: a group that is not there is empty."""
    if "$" not in template:
        return template

    def filled(reference: re.Match[str]) -> str:
        if reference[1]:
            return "$"
        name = reference[2] or reference[3]
        try:
            return found.group(int(name) if name.isdigit() else name) or ""
        except (IndexError, KeyError):
            return ""

    return _REFERENCE.sub(filled, template)
