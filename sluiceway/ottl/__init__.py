"""OTTL, the OpenTelemetry Transformation Language: from its text to what the kernel runs.

`lexer` cuts a text into tokens, `parser` makes a tree of them whose nodes (`syntax`) know their columns, `contexts`
says which paths there are, `values` and `conditions` turn the tree into the kernel's conditions. So far it is
conditions; statements have a place in the grammar, and what is not understood yet is refused by name and column.
"""

from sluiceway.ottl.conditions import compile_condition
from sluiceway.ottl.contexts import Context, infer
from sluiceway.ottl.errors import OttlError

__all__ = ["Context", "OttlError", "compile_condition", "infer"]
