"""The names of topics."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_topic"]

_TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")


def is_topic(name: str) -> bool:
    """Whether a text can be the name of a topic by Kafka's own rule; nothing else is ever sent to a broker as one."""
    return _TOPIC.fullmatch(name) is not None and name not in (".", "..")
