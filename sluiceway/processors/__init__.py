"""Processors: one module, one component."""
