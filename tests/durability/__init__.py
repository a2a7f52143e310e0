"""Attempts to make a log lose, forge or block what it was told to keep; `make test-durability` runs them all at length.

Each module has one kind of attempt as a plain function, which raises `AssertionError` when something was lost and else
returns what it did. The tests run a few of each.
"""
