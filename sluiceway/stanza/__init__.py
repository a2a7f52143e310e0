"""Log lines on their way to records: entries, and the operators that parse and edit them, as the Collector names them.

A log receiver makes an `Entry` of each line, takes a list of them through its `operators` in one call, and turns what
comes out into a batch.
"""

from sluiceway.stanza._encode import encode
from sluiceway.stanza.entry import Entry
from sluiceway.stanza.operators.operator import Template, template
from sluiceway.stanza.program import Program, compile_operators

__all__ = ["Entry", "Program", "Template", "compile_operators", "encode", "template"]
