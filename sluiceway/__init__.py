"""Sluiceway: an OpenTelemetry Collector-style pipeline in Python, from one YAML file."""

__version__ = "0.1.0"
