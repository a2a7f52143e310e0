"""Exporters: one module, one component."""
