"""A load generator for traces, metrics and logs."""
