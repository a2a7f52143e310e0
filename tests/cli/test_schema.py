"""`sluiceway schema`: JSON of what is installed."""

import json

from sluiceway.cli.main import main


def test_the_schema_knows_components(capsys):
    """It is JSON, and describes what is installed."""
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert "otlp" in json.dumps(schema["properties"]["receivers"])
