"""Receivers: one module, one component."""
