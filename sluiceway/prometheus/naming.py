"""Names of metrics and labels as Prometheus wants them, from OpenTelemetry's.

The rules are those of OpenTelemetry's "Prometheus and OpenMetrics Compatibility", section "OTLP Metric points to
Prometheus" (here: the specification), and, where it leaves a choice, those of Prometheus' own library `otlptranslator`,
which the Collector's exporters use: the same metric has the same name whoever brought it. Each function says which.

Nothing here is fast, nor need it be: it is called once for each metric and each new set of labels, and the caller keeps
what it answers.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, Literal, TypeAlias

__all__ = ["Kind", "Strategy", "StrategyName", "is_legacy", "label_name", "metric_name", "unit_words", "without_utf8"]


class Strategy(StrEnum):
    """How names are translated: the values of Prometheus' and the Collector's setting `translation_strategy`."""

    UNDERSCORES_SUFFIXES = "UnderscoreEscapingWithSuffixes"
    UNDERSCORES = "UnderscoreEscapingWithoutSuffixes"
    UTF8_SUFFIXES = "NoUTF8EscapingWithSuffixes"
    UTF8 = "NoTranslation"

    @classmethod
    def chosen(cls, translation_strategy: str, *, add_metric_suffixes: bool) -> Strategy:
        """What the Collector's two settings say together: the older one counts where the newer is empty."""
        if translation_strategy:
            return cls(translation_strategy)
        return cls.UNDERSCORES_SUFFIXES if add_metric_suffixes else cls.UNDERSCORES

    @property
    def escapes(self) -> bool:
        """Whether all but ASCII letters, digits, `_` and (in names of metrics) `:` become `_`."""
        return self in (Strategy.UNDERSCORES, Strategy.UNDERSCORES_SUFFIXES)

    @property
    def adds_suffixes(self) -> bool:
        """Whether unit and type are told at the end of a metric's name."""
        return self in (Strategy.UNDERSCORES_SUFFIXES, Strategy.UTF8_SUFFIXES)


StrategyName: TypeAlias = Literal[
    "",
    "UnderscoreEscapingWithSuffixes",
    "UnderscoreEscapingWithoutSuffixes",
    "NoUTF8EscapingWithSuffixes",
    "NoTranslation",
]
"""What `translation_strategy` may be."""


class Kind(StrEnum):
    """The type of an OTLP metric, as its field in `Metric` is called."""

    GAUGE = "gauge"
    SUM = "sum"
    HISTOGRAM = "histogram"
    EXPONENTIAL_HISTOGRAM = "exponential_histogram"
    SUMMARY = "summary"


_WORDS: Final = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds", "us": "microseconds",
    "ns": "nanoseconds", "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "GiBy": "gibibytes",
    "TiBy": "tibibytes", "KBy": "kilobytes", "MBy": "megabytes", "GBy": "gigabytes", "TBy": "terabytes",
    "m": "meters", "V": "volts", "A": "amperes", "J": "joules", "W": "watts", "g": "grams", "Cel": "celsius",
    "Hz": "hertz", "1": "", "%": "percent",
}  # fmt: skip
"""UCUM's units, as words. `TiBy` is spelt as `otlptranslator` has always spelt it, wrong as it is: names must agree."""
_PER: Final = {
    "s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year",
}  # fmt: skip
"""What stands behind the slash; `m` is a minute there, as in `otlptranslator`."""
_NOT_IN_NAMES: Final = re.compile(r"[^a-zA-Z0-9:]+")
_NOT_IN_NAMES_BUT_UNDERSCORES: Final = re.compile(r"[^a-zA-Z0-9:_]+")
_NOT_IN_LABELS: Final = re.compile(r"[^a-zA-Z0-9]+")
_LEGACY_METRIC: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LEGACY_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def metric_name(name: str, unit: str, kind: Kind, monotonic: bool, strategy: Strategy, namespace: str = "") -> str:
    """The name of a metric; empty where no letter or digit is left of it, so that it has none, whatever its unit.

    - Escaping (the specification, "Metric Metadata"): what Prometheus' old rules do not allow becomes `_`, several of
      them one. Names do not begin or end with one, and a leading digit gets one in front (`otlptranslator`).
    - Suffixes (the same section): the unit in words unless the name has it already, then `_total` for monotonic sums
      (the section "Sums"), or `_ratio` for gauges with the unit `1` (for gauges only: `otlptranslator`).
    - `namespace` stands in front, with `_` between (the Collector).
    - Without escaping the name stays as it is, but for suffixes and namespace; a suffix is not repeated.
    """
    main, per = unit_words(unit) if strategy.adds_suffixes else ("", "")
    ending = ""
    if strategy.adds_suffixes:
        is_ratio = unit.strip() == "1" and kind is Kind.GAUGE
        ending = "total" if kind is Kind.SUM and monotonic else "ratio" if is_ratio else ""
    if not strategy.escapes:
        return _plain(name, (main, per, ending), namespace) if name else ""
    if strategy.adds_suffixes:
        parts = [part for part in _NOT_IN_NAMES.split(name) if part]
        built = _escaped(parts, (main, per, ending)) if parts else ""
    else:
        built = "_".join(part for part in _NOT_IN_NAMES_BUT_UNDERSCORES.split(name) if part)
    if not built.strip("_"):
        return ""
    if namespace:
        built = f"{_NOT_IN_NAMES_BUT_UNDERSCORES.sub('_', namespace)}_{built}"
    return f"_{built}" if built[0].isdigit() else built


def label_name(name: str, strategy: Strategy) -> str:
    """The name of a label, from an attribute's key; empty where no letter or digit is left of it, so that it has none.

    With escaping, what Prometheus' old rules do not allow becomes `_`, several of them one (the specification, "Metric
    Attributes"). A leading digit gets `key_` in front and a leading `_` gets `key` (`otlptranslator`), so that no
    attribute can make a label that begins with `__`, which are Prometheus' own. Without escaping names stay, but for
    those: they get `key` in front.
    """
    if not strategy.escapes:
        return f"key{name}" if name.startswith("__") else name
    escaped = _NOT_IN_LABELS.sub("_", name)
    if not escaped.strip("_"):
        return ""
    if escaped[0].isdigit():
        return f"key_{escaped}"
    return f"key{escaped}" if escaped[0] == "_" else escaped


def unit_words(unit: str) -> tuple[str, str]:
    """A unit in words, and what it is per: `By/s` is `bytes` and `per_second`. Both may be empty.

    Known units of UCUM become words, others stay, what is in braces is none (the specification, "Metric Metadata"). The
    unit `1` gives no word: where it means a ratio, `metric_name` says so.
    """
    main, _, per = unit.partition("/")
    main = _word(main.strip(), _WORDS)
    per = _word(per.strip(), _PER)
    return main, f"per_{per}" if per else ""


def is_legacy(name: str, *, label: bool = False) -> bool:
    """Whether a name is one by Prometheus' old rules, so that it need not stand in quotes."""
    return (_LEGACY_LABEL if label else _LEGACY_METRIC).fullmatch(name) is not None


def without_utf8(name: str, *, label: bool = False) -> str:
    """A name for a scraper that did not ask for UTF-8: each character that the old rules do not allow becomes `_`.

    This is the scheme `underscores` of Prometheus' "Content negotiation" of escaping, and its default.
    """
    if is_legacy(name, label=label):
        return name
    allowed = "_" if label else "_:"
    ascii_only = [c if (c.isascii() and c.isalnum()) or c in allowed else "_" for c in name]
    if ascii_only and ascii_only[0].isdigit():
        ascii_only[0] = "_"
    return "".join(ascii_only)


def _word(unit: str, words: dict[str, str]) -> str:
    if "{" in unit or "}" in unit:
        return ""
    word = words.get(unit)
    return _NOT_IN_NAMES.sub("_", unit).strip("_") if word is None else word


def _escaped(parts: list[str], suffixes: tuple[str, str, str]) -> str:
    *units, ending = suffixes
    parts += [unit for unit in units if unit and unit not in parts]
    if ending:
        parts = [part for part in parts if part != ending] + [ending] if parts != [ending] else parts
    return "_".join(parts)


def _plain(name: str, suffixes: tuple[str, str, str], namespace: str) -> str:
    name = f"{namespace}_{name}" if namespace else name
    main, behind = suffixes[0], [suffix for suffix in suffixes[1:] if suffix]
    for suffix in reversed(behind):  # those that it ends with already go, to stand in order again
        if name.endswith(suffix) and len(name) > len(suffix) + 1:
            name = name[: -len(suffix) - 1]
    if main and not name.endswith(main):
        name = f"{name}_{main}"
    return "_".join([name, *behind])
