"""Which topics are read, and which signal each of them holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sluiceway.otlp import Signal
from sluiceway.otlp.selecting import compile_pattern
from sluiceway.receivers.kafka.settings import KafkaReceiverConfig
from sluiceway.receivers.kafka.sources import Source

__all__ = ["Topics"]

_INTERNAL: Final = "__"


class Topics:
    """The topics that a configuration names for the signals that are wanted."""

    def __init__(self, config: KafkaReceiverConfig, signals: frozenset[Signal]) -> None:
        sources = [(signal, source) for signal, source in config.sources() if signal in signals]
        self.named = {
            topic: signal for signal, source in sources for topic in source.topics if not topic.startswith("^")
        }
        """Topics that are named as they are, which need not be there."""
        self._patterns = [_Patterns(signal, source) for signal, source in sources]
        self.has_patterns = any(patterns.wanted for patterns in self._patterns)

    def choose(self, names: Iterable[str]) -> dict[str, Signal]:
        """What is to be read of the topics that there are, and all that are named; a name comes before a pattern."""
        found = {name: signal for name in names if (signal := self._signal(name)) is not None}
        return found | self.named

    def _signal(self, name: str) -> Signal | None:
        return next((patterns.signal for patterns in self._patterns if patterns.match(name)), None)


class _Patterns:
    """The patterns of one signal."""

    def __init__(self, signal: Signal, source: Source) -> None:
        self.signal = signal
        patterns = [text for text in source.topics if text.startswith("^")]
        self.wanted = [(compile_pattern(text), text.startswith(f"^{_INTERNAL}")) for text in patterns]
        self._unwanted = [compile_pattern(text) for text in source.exclude_topics]

    def match(self, name: str) -> bool:
        raw, is_internal = name.encode(), name.startswith(_INTERNAL)
        return any(
            pattern.search(raw) and (takes_internal or not is_internal) for pattern, takes_internal in self.wanted
        ) and not any(pattern.search(raw) for pattern in self._unwanted)
