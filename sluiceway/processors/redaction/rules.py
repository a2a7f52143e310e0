"""What the settings of `redaction` make of a key or a text: asked once for each, remembered by the redactor.

The order is the Collector's: an ignored key passes, one that is not allowed goes, a value that is allowed passes, then
the value of a blocked key is masked whole, and of others the parts that blocked values match.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sluiceway.otlp.anyvalue import decode_value, read_varint
from sluiceway.otlp.rewriting import value_text
from sluiceway.processors.redaction.masks import Mask
from sluiceway.processors.redaction.needs import Need, needs
from sluiceway.processors.redaction.patterns import Patterns
from sluiceway.processors.redaction.sanitizers import Sanitizers

__all__ = ["SUMMARY_KEYS", "Rules"]

SUMMARY_KEYS = tuple(
    f"redaction.{prefix}{what}"
    for prefix in ("", "body.")
    for what in (
        "redacted.keys", "redacted.count", "masked.keys", "masked.count", "allowed.keys", "allowed.count",
        "ignored.count",
    )
)  # fmt: skip
"""The attributes of the summary: never taken for keys that are not allowed."""

_IGNORED, _REDACTED, _MASKED, _SANITIZED = 1, 2, 4, 8
_PRICE = 8
_ALLOWED_VALUE, _MASKED_VALUE = b"a", b"m"


class Rules:
    """Answers in bytes that the redactor reads: flags for keys, a verdict and the new text for texts."""

    def __init__(
        self,
        *,
        allowed_keys: Iterable[str] | None,
        ignored_keys: Iterable[str],
        ignored_key_patterns: Patterns,
        blocked_key_patterns: Patterns,
        blocked_values: Patterns,
        allowed_values: Patterns,
        all_types: bool,
        mask: Mask,
        sanitizers: Sanitizers,
    ) -> None:
        self.all_types = all_types
        self._allowed = None if allowed_keys is None else {key.encode() for key in (*allowed_keys, *SUMMARY_KEYS)}
        self._ignored = {key.encode() for key in ignored_keys}
        self._ignored_patterns = ignored_key_patterns
        self._blocked_keys = blocked_key_patterns
        self._blocked_values = blocked_values
        self._blocked_texts = Patterns([text for text in blocked_values.texts if not Patterns([text]).find(b"", True)])
        self._allowed_values = allowed_values
        self._mask = mask
        lists = (ignored_key_patterns, blocked_key_patterns, blocked_values, allowed_values)
        self.price = _PRICE * sum(len(patterns.texts) for patterns in lists)
        """What it costs to be asked, in bytes looked at."""
        self._sanitizers = sanitizers
        self.looks_at_keys = bool(
            self._allowed is not None or self._ignored or ignored_key_patterns or blocked_key_patterns
            or sanitizers.keys
        )  # fmt: skip
        self.looks_at_texts = bool(blocked_values) or sanitizers.names
        self.renames_keys = bool(blocked_values) and self._allowed is None
        self.sanitizes_bodies = sanitizers.bodies
        self.sanitizes_names = sanitizers.names
        self.knows_systems = sanitizers.knows_systems

    def needs(self, *, counting: bool) -> list[Need] | None:
        """What a text must hold for there to be an answer, for each pattern; None where it may be anything.

        Without `counting` of allowed values it does not matter which texts those are.
        """
        patterns = (*self._blocked_values.texts, *(self._allowed_values.texts if counting else ()))
        found = [needs(pattern) for pattern in patterns]
        return found if all(need.size for need in found) else None

    def key(self, key: bytes) -> bytes:
        """Flags (1 ignored, 2 not allowed, 4 masked, 8 sanitized), then the new key where it gets one."""
        if key in self._ignored or self._ignored_patterns.find(key, unread=False):
            return bytes((_IGNORED,))
        if self._allowed is not None and key not in self._allowed:
            return bytes((_REDACTED,))
        flags = _MASKED * self._blocked_keys.find(key, unread=True) | _SANITIZED * (
            key.decode() in self._sanitizers.keys
        )
        name = b"" if self._allowed is not None else self._blocked_texts.replace(key, self._mask)
        return bytes((flags,)) + (name if name != key else b"")

    def text(self, text: bytes) -> bytes | None:
        """Of a value: None where it stays, `a` where it is allowed, else `m` and what becomes of it."""
        if self._allowed_values.find(text, unread=False):
            return _ALLOWED_VALUE
        return _verdict(text, self._block(text))

    def name(self, text: bytes) -> bytes | None:
        """As `text`, of a text that is no value.

        The Collector does not look at those, so patterns that match whatever there is are not meant for them.
        """
        if self._allowed_values.find(text, unread=False):
            return _ALLOWED_VALUE
        return _verdict(text, self._blocked_texts.replace(text, self._mask))

    def _block(self, text: bytes) -> bytes:
        return self._blocked_values.replace(text, self._mask)

    def case(self, question: bytes) -> bytes | None:
        """As `text`, where more than the text decides: see `put_case` of the redactor."""
        case, more = chr(question[0]), question[1]
        key, rest = _cut(question[2:])
        system, text = _cut(rest)
        match case:
            case "W":
                return self._whole(text, in_body=bool(more))
            case "O":
                return self._other(text, in_body=bool(more))
            case "A":
                return self._sanitized(
                    text, lambda text: self._sanitizers.attribute(key.decode(), system.decode(), text)
                )
            case "B":
                return self._sanitized(text, self._sanitizers.body)
            case _:
                kind, is_http = more & 7, bool(more & 8)
                said = self.name(text)
                name = (text if said is None else said[1:]).decode()
                return (
                    said
                    if said == _ALLOWED_VALUE
                    else _verdict(text, self._sanitizers.name(name, kind, system.decode(), is_http).encode())
                )

    def _whole(self, content: bytes, *, in_body: bool) -> bytes:
        value = decode_value(content)
        text = value if isinstance(value, str) else value_text(value) if self.all_types and not in_body else ""
        if not in_body and self._allowed_values.find(text.encode(), unread=False):
            return _ALLOWED_VALUE
        return bytes(self._masked_lines(text.encode()))

    def _masked_lines(self, text: bytes) -> bytearray:
        out, place = bytearray(_MASKED_VALUE), 0
        while (end := text.find(b"\n", place)) >= 0:
            out += self._mask(text[place:end]) + b"\n"
            place = end + 1
        return out + self._mask(text[place:])

    def _other(self, content: bytes, *, in_body: bool) -> bytes | None:
        value = decode_value(content)
        text = value_text(value).encode()
        said = self._sanitized(text, self._sanitizers.body) if in_body else self.text(text)
        if said is None and isinstance(value, bytes):
            return self.text(value.decode(errors="replace").encode())
        return said

    def _sanitized(self, text: bytes, sanitize: Callable[[str], str]) -> bytes | None:
        if self._allowed_values.find(text, unread=False):
            return _ALLOWED_VALUE
        return _verdict(text, sanitize(self._block(text).decode()).encode())


def _verdict(before: bytes, after: bytes) -> bytes | None:
    return None if before == after else _MASKED_VALUE + after


def _cut(data: bytes) -> tuple[bytes, bytes]:
    """Split off a text that its length precedes."""
    size, place = read_varint(data, 0)
    return data[place : place + size], data[place + size :]
