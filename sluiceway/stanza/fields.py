"""Places in an entry, as operators name them: `body`, `body.user.name`, `attributes["k8s.pod"]`, `resource.host`."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, NamedTuple

from pydantic import AfterValidator

from sluiceway.stanza.entry import Entry

__all__ = ["MISSING", "Field", "FieldName", "field"]

MISSING: Final = object()
"""What is found where nothing is: None is a value."""

_ROOTS: Final = ("body", "attributes", "resource")
_MAX_KEYS: Final = 20
_KEY: Final = re.compile(r"""\.([^.\[\]"']+)|\[(?:"([^"\\]*)"|'([^'\\]*)')\]""")


class Field(NamedTuple):
    """A root (`body`, `attributes` or `resource`) and the keys that lead down from it; no key is the root itself."""

    root: str
    keys: tuple[str, ...]

    def get(self, entry: Entry) -> Any:
        """The value, or `MISSING`."""
        value = getattr(entry, self.root)
        for key in self.keys:
            if type(value) is not dict or key not in value:
                return MISSING
            value = value[key]
        return value

    def set(self, entry: Entry, value: Any) -> None:
        """Put a value; a map is merged into what is there. What stands in the way and is no map is replaced.

        Raises `ValueError` where `attributes` or `resource` as a whole would become something else than a map.
        """
        if type(value) is dict:
            self._map(entry, self.keys).update(value)
        elif self.keys:
            self._map(entry, self.keys[:-1])[self.keys[-1]] = value
        elif self.root == "body":
            entry.body = value
        else:
            raise ValueError(f"cannot set {self.root} root")

    def delete(self, entry: Entry) -> Any:
        """Take the value away, and give it, or `MISSING`."""
        value = self.get(entry)
        if value is MISSING:
            return value
        self._own(entry)
        if self.keys:
            del Field(self.root, self.keys[:-1]).get(entry)[self.keys[-1]]
        else:
            setattr(entry, self.root, None if self.root == "body" else {})
        return value

    def parent(self) -> Field:
        """The place of the map that holds the value."""
        return Field(self.root, self.keys[:-1])

    def _own(self, entry: Entry) -> None:
        """Entries may share a resource, which is therefore copied before one of them changes it."""
        if self.root == "resource":
            entry.resource = copy.deepcopy(entry.resource)

    def _map(self, entry: Entry, keys: tuple[str, ...]) -> dict[str, Any]:
        self._own(entry)
        found = getattr(entry, self.root)
        if type(found) is not dict:
            found = {}
            setattr(entry, self.root, found)
        for key in keys:
            inner = found.get(key)
            if type(inner) is not dict:
                inner = found[key] = {}
            found = inner
        return found

    def __str__(self) -> str:
        return self.root + "".join(f".{key}" if key.isidentifier() else f'["{key}"]' for key in self.keys)


def field(text: str) -> Field:
    """Read the name of a field. Raises `ValueError` with what is wrong."""
    root = next((name for name in _ROOTS if text.startswith(name)), "")
    if not root or text[len(root) : len(root) + 1] not in ("", ".", "["):
        raise ValueError(f'"{text[:100]}" is no field: it must begin with body, attributes or resource')
    keys = tuple(_keys(text, len(root)))
    if len(keys) > _MAX_KEYS:
        raise ValueError(f"a field has at most {_MAX_KEYS} keys")
    return Field(root, keys)


def _keys(text: str, at: int) -> Iterator[str]:
    while at < len(text):
        match = _KEY.match(text, at)
        if match is None:
            raise ValueError(f'"{text[:100]}" is no field: a key is written as .key or ["key"]')
        yield next(group for group in match.groups() if group is not None)
        at = match.end()


def _check(text: str) -> str:
    field(text)
    return text


FieldName = Annotated[str, AfterValidator(_check)]
"""A setting that names a field; `field` reads it."""
