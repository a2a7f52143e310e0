"""The settings of rules and keys of `anonymize`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from sluiceway.config.types import Opaque, Settings, StringList
from sluiceway.keys import AesKeyConfig
from sluiceway.personal import Action, Rule
from sluiceway.personal.keys import LEAST_HMAC_BYTES, parse_key

__all__ = ["KeysConfig", "RuleConfig"]


def _hmac_key(key: Opaque) -> Opaque:
    if len(parse_key(key.reveal())) < LEAST_HMAC_BYTES:
        raise ValueError(f"the key is too short: {LEAST_HMAC_BYTES} bytes at least, 32 are good")
    return key


class KeysConfig(Settings):
    """The keys. They never print; give them by `${env:NAME}` or `${file:PATH}`."""

    hmac: Annotated[Opaque, AfterValidator(_hmac_key)] | None = None
    """For `hash` and `pseudonymize`: 16 bytes or more in hexadecimal or base64. With another key come other tokens."""
    aes: tuple[AesKeyConfig, ...] = ()
    """For `encrypt`: the first one encrypts; the others are there for `sluiceway decrypt`."""

    @field_validator("hmac", mode="before")
    @classmethod
    def _not_empty(cls, value: object) -> object:
        if value is None:
            raise ValueError("the key is empty; is the variable that it comes from set?")
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        ids = [entry.id for entry in self.aes]
        if len(set(ids)) < len(ids):
            raise ValueError("'aes' has the same id twice")
        return self


class RuleConfig(Settings):
    """One rule: about what detectors find, about the values of keys, or about what is found in the values of keys."""

    detect: StringList = ()
    """The detectors it is about, or `all`; without any it is about whole values."""
    keys: StringList = ()
    """Names of attributes, with `*` and `?`, of any case; one without a dot stands for the last part of a name, too."""
    action: Literal["mask", "hash", "pseudonymize", "encrypt", "truncate", "drop", "keep"]
    """What is done: see above."""
    keep_first: int = Field(default=0, ge=0, le=64)
    """How many characters at the beginning `mask` shows."""
    keep_last: int = Field(default=0, ge=0, le=64)
    """How many characters at the end `mask` shows; where fewer than four would be hidden, none is shown."""
    ipv4_prefix: int = Field(default=24, ge=0, le=32)
    """How many bits of an IPv4 address `truncate` leaves."""
    ipv6_prefix: int = Field(default=48, ge=0, le=128)
    """How many bits of an IPv6 address `truncate` leaves."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.detect and not self.keys:
            raise ValueError("a rule needs 'detect' or 'keys'")
        if "" in self.keys:
            raise ValueError("'keys' has an empty name")
        given = self.model_fields_set
        if self.action != "mask" and given & {"keep_first", "keep_last"}:
            raise ValueError(f"'keep_first' and 'keep_last' belong to the action mask, not to {self.action}")
        if self.action != "truncate" and given & {"ipv4_prefix", "ipv6_prefix"}:
            raise ValueError(f"'ipv4_prefix' and 'ipv6_prefix' belong to the action truncate, not to {self.action}")
        return self

    def compile(self, detectors: tuple[str, ...]) -> Rule:
        """The rule as the kernel takes it, with `all` for the detectors that are on."""
        return Rule(
            Action[self.action.upper()],
            detectors if "all" in self.detect else self.detect,
            self.keys,
            self.keep_first,
            self.keep_last,
            self.ipv4_prefix,
            self.ipv6_prefix,
        )
