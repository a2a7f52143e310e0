"""Connectors: one module, one component."""
