from collections.abc import Iterable

from sluiceway.stanza.entry import Entry

def encode(entries: Iterable[Entry], scope_name: str = "") -> bytes: ...
