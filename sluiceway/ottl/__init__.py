"""OTTL, the OpenTelemetry Transformation Language: from its text to what the kernel runs.

`lexer` cuts a text into tokens, `parser` makes a tree of them whose nodes (`syntax`) know their columns, `contexts`
says which paths and names there are and `functions` which functions, and `conditions` turns the tree into conditions of
the kernel. So far that is all: what is not understood yet is refused by name and column.
"""

from sluiceway.ottl.conditions import compile_condition
from sluiceway.ottl.contexts import Context, infer
from sluiceway.ottl.errors import OttlError

__all__ = ["Context", "OttlError", "compile_condition", "infer"]
