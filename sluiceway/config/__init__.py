"""Configuration: YAML to a typed model, with every mistake at its line."""
