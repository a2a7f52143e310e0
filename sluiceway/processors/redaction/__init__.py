"""Deletes attributes whose keys are not allowed, and masks values and texts that match blocked patterns.

The settings, their order and the summary are the Collector's: an ignored key passes untouched; a key that is not
allowed goes; a value that is allowed passes; the value of a key that matches a blocked pattern is masked whole, by
`****` or a digest; of any other, the parts that `blocked_values` match. **It fails closed**: without `allowed_keys` and
`allow_all_keys` every attribute is deleted.

It looks at more than the Collector does: keys and values in maps and arrays, attributes of links, exemplars and
metrics, and, for `blocked_values`, all texts beside attributes as well: names of spans, events, scopes and metrics,
descriptions, units, status messages, trace states, severities, schema URLs, and keys where all are allowed (but not
those patterns that match whatever there is, such as `.*`). A text that a later piece of the same message overrides is
cut out. Two keys that become the same by masking both stay. No item is dropped, and nothing is held. The names that a
summary tells take at most 4096 bytes for each category of an item: where there are more, `…` stands behind them; the
count is right all the same.

Patterns are RE2. What they say of a text is remembered, by tenant where resources have a `tenant.id`. A text costs time
in proportion to its length: one of more bytes than 2^30 divided by the number of patterns is masked unread, and one in
which very much matches is masked from there on. Digests other than the HMACs do not make personal data anonymous:
whoever can guess the value can check the guess.

The sanitizers are our own. Which parts of a URL are no words is judged by how letters alternate, where the Collector
asks a model. Texts in log bodies are taken for URLs where they hold a `/`, and for commands or documents where they
begin like one; `db_sanitizer::sql` takes every one for SQL that is no JSON, as the Collector does, so that numbers and
quoted texts in plain messages become `?`, digests that `hash_function` has put there among them.

```yaml
processors:
  redaction:
    allow_all_keys: true
    blocked_key_patterns: ['(?i)password|secret|token']
    blocked_values: ['4[0-9]{12}(?:[0-9]{3})?']
    summary: info
```
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator

from sluiceway.component import Component, Context, Kind, Prepared, Stability
from sluiceway.config.types import Opaque, Settings, StringList
from sluiceway.otlp import Batch
from sluiceway.otlp.plan import Plan, Scrub
from sluiceway.processors.redaction._redactor import Redactor
from sluiceway.processors.redaction.masks import KEY_SIZES, make_mask
from sluiceway.processors.redaction.patterns import Patterns, check_pattern
from sluiceway.processors.redaction.rules import Rules
from sluiceway.processors.redaction.sanitizers import KINDS, Sanitizers, UrlSettings

__all__ = ["COMPONENT", "RedactionConfig", "RedactionProcessor"]

Pattern = Annotated[str, AfterValidator(check_pattern)]

_LEVELS = {"": 0, "silent": 0, "info": 1, "debug": 2}


class UrlSanitizerConfig(Settings):
    """`url_sanitizer`: variable parts of URLs become `*`."""

    enabled: bool = False
    """Whether URLs are sanitized."""
    attributes: StringList = ()
    """The keys of attributes that hold URLs."""
    sanitize_span_name: bool = True
    """Whether the names of client and server spans that look like paths are sanitized, too."""
    sanitize_log_body: bool = True
    """Whether texts in log bodies are."""


class QuerySanitizerConfig(Settings):
    """One kind of database."""

    enabled: bool = False
    """Whether queries of this kind are sanitized."""
    attributes: StringList = ()
    """The keys of attributes that hold queries, where `db.system.name` or `db.system` beside them is of this kind."""


class DbSanitizerConfig(Settings):
    """`db_sanitizer`: values in queries become `?`."""

    sql: QuerySanitizerConfig = QuerySanitizerConfig()
    """SQL: MySQL, PostgreSQL, MariaDB, SQLite, `other_sql`."""
    redis: QuerySanitizerConfig = QuerySanitizerConfig()
    """Redis commands keep their keys."""
    valkey: QuerySanitizerConfig = QuerySanitizerConfig()
    """Valkey commands keep their keys."""
    memcached: QuerySanitizerConfig = QuerySanitizerConfig()
    """memcached commands lose their data."""
    mongo: QuerySanitizerConfig = QuerySanitizerConfig()
    """MongoDB commands in JSON."""
    opensearch: QuerySanitizerConfig = QuerySanitizerConfig()
    """OpenSearch bodies."""
    es: QuerySanitizerConfig = QuerySanitizerConfig()
    """Elasticsearch bodies."""
    sanitize_span_name: bool = True
    """Whether the names of spans about such a database are sanitized, too."""
    allow_fallback_without_system: bool = False
    """Whether attributes of items that do not say which database they are about go through all sanitizers."""

    def kinds(self) -> dict[str, tuple[str, ...]]:
        """The kinds that are enabled, with their attributes."""
        chosen = {kind: getattr(self, kind) for kind in KINDS}
        return {kind: config.attributes for kind, config in chosen.items() if config.enabled}


class RedactionConfig(Settings):
    """The settings of `redaction`."""

    allow_all_keys: bool = False
    """Keep all keys, whatever `allowed_keys` says; values are still looked at."""
    allowed_keys: StringList = ()
    """The keys that are kept. Empty, without `allow_all_keys`: every attribute is deleted."""
    ignored_keys: StringList = ()
    """Keys whose attributes pass untouched, allowed or not."""
    ignored_key_patterns: tuple[Pattern, ...] = ()
    """RE2 patterns of such keys, found anywhere in the key."""
    redact_all_types: bool = False
    """Look at the text form of numbers, booleans and bytes, too. In log bodies they always are looked at."""
    blocked_key_patterns: tuple[Pattern, ...] = ()
    """RE2 patterns of keys whose values are masked whole."""
    blocked_values: tuple[Pattern, ...] = ()
    """RE2 patterns; the parts of values and texts that they match are masked, one pattern after the other."""
    allowed_values: tuple[Pattern, ...] = ()
    """RE2 patterns of values that pass whatever they hold; they win over `blocked_values` and blocked keys."""
    hash_function: Literal["", "md5", "sha1", "sha3", "hmac-sha256", "hmac-sha512"] = ""
    """What stands for what is masked: its digest in hex. Empty: `****`. `sha3` is SHA3-256."""
    hmac_key: Opaque = Opaque("")
    """The key of the HMACs: at least 32 bytes for `hmac-sha256`, 64 for `hmac-sha512`."""
    summary: Literal["", "debug", "info", "silent"] = ""
    """Say what was done in attributes `redaction.*`: `info` counts, `debug` also names the keys. Empty: silent."""
    url_sanitizer: UrlSanitizerConfig = UrlSanitizerConfig()
    """Sanitize URLs."""
    db_sanitizer: DbSanitizerConfig = DbSanitizerConfig()
    """Sanitize queries."""

    @model_validator(mode="after")
    def _require_key(self) -> Self:
        least = KEY_SIZES.get(self.hash_function, 0)
        if least and not self.hmac_key:
            raise ValueError(f"'hmac_key' is required for the hash function {self.hash_function}")
        size = len(self.hmac_key.reveal().encode())
        if size < least:
            raise ValueError(f"'hmac_key' must have at least {least} bytes for {self.hash_function}, and has {size}")
        return self


class RedactionProcessor:
    """An editor whose plan is one scrub."""

    reads_payload = False
    counts_items = False

    def __init__(self, config: RedactionConfig) -> None:
        self.plan = Plan([Scrub(Redactor(_rules(config), _LEVELS[config.summary]))])

    def prepare(self, batch: Batch) -> Prepared:
        """Every batch is looked at, none dropped."""
        return Prepared(batch)


def _rules(config: RedactionConfig) -> Rules:
    return Rules(
        allowed_keys=None if config.allow_all_keys else config.allowed_keys,
        ignored_keys=config.ignored_keys,
        ignored_key_patterns=Patterns(config.ignored_key_patterns),
        blocked_key_patterns=Patterns(config.blocked_key_patterns),
        blocked_values=Patterns(config.blocked_values),
        allowed_values=Patterns(config.allowed_values),
        all_types=config.redact_all_types,
        mask=make_mask(config.hash_function, config.hmac_key.reveal().encode()),
        sanitizers=_sanitizers(config),
    )


def _sanitizers(config: RedactionConfig) -> Sanitizers:
    url, queries = config.url_sanitizer, config.db_sanitizer
    return Sanitizers(
        UrlSettings(frozenset(url.attributes), url.sanitize_span_name, url.sanitize_log_body) if url.enabled else None,
        queries.kinds(),
        query_names=queries.sanitize_span_name,
        without_system=queries.allow_fallback_without_system,
    )


def _create(config: RedactionConfig, _context: Context, _next: object) -> RedactionProcessor:
    return RedactionProcessor(config)


COMPONENT = Component(
    type="redaction",
    kind=Kind.PROCESSOR,
    config=RedactionConfig,
    create=_create,
    stability=Stability.BETA,
)
