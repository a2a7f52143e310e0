"""Finds personal data and secrets wherever they stand, and masks, hashes, pseudonymizes, encrypts, cuts or drops them.

Detectors look at every place that can hold text: attributes of resources, scopes, items, events, links and exemplars,
their keys, maps and arrays in them, bodies of logs, names, descriptions, status messages, trace states; and at
numbers, for those of cards. `where` narrows that: `resource`, `scope`, `name`, `attributes`, `keys`, `body`, `events`,
`links`, `status`, `trace_state`, `exemplars`, `metric`, `metadata`, `severity`, `event_name`, `schema_url`, or `all`.

| detector | finds | leaves alone |
| --- | --- | --- |
| `email` | addresses, letters of any script | `logo@2x.png`, `git@host`, systemd units, `user@host:port` in URLs |
| `credit_card` | issuers' ranges, right check digit, in groups too | parts of longer numbers, rare lengths ungrouped |
| `iban` | a country's length and make-up, right check digits | anything else |
| `phone` | `+` and a country; national forms with punctuation | digits without either, dates, versions |
| `ip` | both versions, with port, prefix or zone, in paths | loopback, networks, masks, versions, MAC addresses |
| `jwt` | three or five parts, a header with `alg` | anything else |
| `secret` | keys of services, private keys, passwords in URLs and assignments | placeholders, plain words |

Rules say what becomes of what. The first that matches counts, and what is detected and has no rule is masked. A rule
with `keys` alone is about whole values, whatever is in them, and in maps about all values within, but for those that an
earlier rule is about; a rule with `detect` stands above it only where it comes first and what it found is all of the
value. Above `keep` earlier rules stand with whatever they find. Where findings overlap the earlier rule is about all of
both; one that drops always is, one that keeps only where what it is about holds all of the other.

| action | what is left |
| --- | --- |
| `mask` | `****`, with what `keep_first` and `keep_last` show |
| `hash` | HMAC-SHA-256 of the text, 64 hexadecimal digits |
| `pseudonymize` | `email-` and 24 letters, the same for every spelling; `sluiceway pseudonym` tells them |
| `encrypt` | AES-256-GCM: `enc:v1:<key id>:...`; `sluiceway decrypt` reads it; needs `sluiceway[privacy]` |
| `truncate` | the network of an address; anything else is masked |
| `drop` | nothing: the attribute goes, a name or a body is left empty, as is a map behind a rule with `detect` |
| `keep` | what it was |

Detectors see through full-width and other compatible forms, digits, dashes and spaces of other scripts, and what is
not seen (zero-width characters, soft hyphens, combining marks, tags). With `decode` they look inside percent-encoding,
HTML's character references and JSON's escapes, two layers deep. They do not see through base64, hexadecimal,
compression, line breaks in the middle, `+` for a space in forms, quoted names in addresses, letters of other scripts
that look alike in numbers and keys of services, or words such as "at" and "dot". A text that becomes more than four
times as long when its characters are made alike is masked as a whole.

Items are never dropped or held back, so nothing can be lost here. The time it takes grows with the length of a text
and with nothing else in it. To rotate the keys of `encrypt` put the new one first and keep the old ones for
`sluiceway decrypt`. A new `hmac` key makes other hashes and pseudonyms; with the old key `sluiceway pseudonym` tells
the old ones. An attribute whose key ends with `version` is not looked through for addresses. A key in a map has those
around it in front, with dots between, of which rules see the first 256 bytes.

`sluiceway_anonymize_findings` counts what was treated, by detector (`key` for rules about keys) and action.

```yaml
processors:
  anonymize:
    detect: all
    patterns: {order: 'ORD-[0-9]{8}'}
    rules:
      - {detect: [ip], action: truncate}
      - {detect: [credit_card], action: mask, keep_last: 4}
      - {keys: [password, authorization, set-cookie], action: drop}
```
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final, Self

from pydantic import Field, model_validator

from sluiceway.component import Component, Context, Kind, Prepared, Stability
from sluiceway.config.nearest import nearest
from sluiceway.config.settings import Mistake, mistakes
from sluiceway.config.types import Settings, StringList
from sluiceway.extras import require
from sluiceway.otlp import Batch
from sluiceway.otlp.places import place_bits
from sluiceway.otlp.plan import Plan, Scrub
from sluiceway.personal import KINDS, Action, Anonymizer, Detectors, Rules
from sluiceway.personal.cipher import Cipher
from sluiceway.personal.keys import parse_key, prepare_hmac_key
from sluiceway.personal.kinds import BY_KEY, HIDDEN, MOST_PATTERNS
from sluiceway.personal.patterns import finder
from sluiceway.processors.anonymize.config import KeysConfig, RuleConfig

__all__ = ["COMPONENT", "AnonymizeConfig", "AnonymizeProcessor", "KeysConfig"]

_KEYED: Final = {Action.HASH: "hmac", Action.PSEUDONYMIZE: "hmac", Action.ENCRYPT: "aes"}
_TAKEN: Final = (*KINDS, "all", "key", "hidden", "value")
"""Names that one's own patterns cannot have."""


class AnonymizeConfig(Settings):
    """The settings of `anonymize`."""

    detect: StringList = ("all",)
    """Which detectors look: `email`, `credit_card`, `iban`, `phone`, `ip`, `jwt`, `secret`, or `all` of them."""
    patterns: dict[str, str] = Field(default_factory=dict, max_length=MOST_PATTERNS)
    """Detectors of one's own, at most 16: RE2 patterns by name."""
    rules: tuple[RuleConfig, ...] = ()
    """What is done with what, in order: the first rule that matches counts. What has no rule is masked."""
    where: StringList = ("all",)
    """Where to look; see above."""
    keys: KeysConfig = KeysConfig()
    """The keys for `hash`, `pseudonymize` and `encrypt`."""
    decode: bool = False
    """Whether to look inside percent-encoding, HTML's character references and the escapes of JSON, two layers deep."""
    tenant_key: str = Field(default="tenant.id", min_length=1)
    """The resource attribute that names the tenant: what is remembered of values is bounded for each."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = list(self._problems())
        if problems:
            raise mistakes(problems)
        return self

    def _problems(self) -> Iterator[Mistake]:
        known = {*KINDS, *self.patterns, "all"}
        for name in self.detect:
            if name not in {*KINDS, "all"}:
                text = f'there is no detector "{name}"{nearest(name, KINDS)} (valid values: [{" ".join(KINDS)} all])'
                yield Mistake(text, ("detect",))
        for name, pattern in self.patterns.items():
            if name in _TAKEN:
                yield Mistake(f'"{name}" is the name of something else', ("patterns", name))
            if not pattern:
                yield Mistake("the pattern is empty", ("patterns", name))
            try:
                finder(pattern)
            except ValueError as error:
                yield Mistake(str(error), ("patterns", name))
        for number, rule in enumerate(self.rules):
            path = ("rules", number)
            for name in rule.detect:
                if name not in known:
                    yield Mistake(f'there is no detector "{name}"{nearest(name, known)}', (*path, "detect"))
            key = _KEYED.get(Action[rule.action.upper()])
            if key is not None and not getattr(self.keys, key):
                yield Mistake(f"the action {rule.action} needs keys::{key}", path)
        try:
            place_bits(self.where)
        except ValueError as error:
            yield Mistake(str(error), ("where",))
        if not self.where:
            yield Mistake("names no place", ("where",))

    @property
    def detectors(self) -> tuple[str, ...]:
        """All detectors that are on."""
        return (*(KINDS if "all" in self.detect else self.detect), *self.patterns)

    def compile(self) -> Rules:
        """The rules as the kernel takes them."""
        return Rules([rule.compile(self.detectors) for rule in self.rules], self.detectors, tuple(self.patterns))


class AnonymizeProcessor:
    """An editor that shows an `Anonymizer` all that the batch holds."""

    reads_payload = False

    def __init__(self, config: AnonymizeConfig, context: Context, _next: object) -> None:
        rules = config.compile()
        self._anonymizer = Anonymizer(
            Detectors(_bits(rules), config.decode, [finder(pattern) for pattern in config.patterns.values()]),
            rules,
            place_bits(config.where),
            _hmac_key(config.keys),
            _cipher(config.keys),
            config.tenant_key,
        )
        self.plan = Plan((Scrub(self._anonymizer),))
        self._open_counters(rules, context)

    def prepare(self, batch: Batch) -> Prepared:
        """Nothing has to be known beforehand; never drops or refuses."""
        return Prepared(batch)

    def _open_counters(self, rules: Rules, context: Context) -> None:
        about_keys = {rule.action for rule in rules.rules if not rule.detect}
        for name in rules.detect:
            actions = {rule.action for rule in rules.rules if name in rule.detect} | {Action.MASK}
            # a pseudonym that a rule makes of a key's value is counted for what the value is
            self._count(context, name, rules.kinds[name], actions | (about_keys & {Action.PSEUDONYMIZE}))
        self._count(context, "key", BY_KEY, about_keys)
        self._count(context, "hidden", HIDDEN, {Action.MASK})

    def _count(self, context: Context, name: str, kind: int, actions: set[Action]) -> None:
        for action in sorted(actions - {Action.KEEP}):
            context.telemetry.counter(
                "sluiceway_anonymize_findings",
                partial(self._anonymizer.count, kind, action),
                "{finding}",
                "What was treated, by detector and action.",
                processor=context.id,
                detector=name,
                action=action.name.lower(),
            )


def _bits(rules: Rules) -> int:
    return sum(1 << rules.kinds[name] for name in set(rules.detect))


def _hmac_key(keys: KeysConfig) -> bytes:
    return b"" if keys.hmac is None else prepare_hmac_key(parse_key(keys.hmac.reveal()))


def _cipher(keys: KeysConfig) -> Cipher | None:
    if not keys.aes:
        return None
    require("keys::aes: encryption", "privacy", "cryptography")
    return Cipher({entry.id: parse_key(entry.key.reveal()) for entry in keys.aes})


COMPONENT = Component(
    type="anonymize",
    kind=Kind.PROCESSOR,
    config=AnonymizeConfig,
    create=AnonymizeProcessor,
    stability=Stability.BETA,
)
