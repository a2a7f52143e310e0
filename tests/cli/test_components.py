"""`sluiceway components`: the Collector's form."""

import json

import yaml

import sluiceway
from sluiceway.cli.main import main


def test_components_are_listed_as_the_collector_does(capsys):
    """YAML with every section, and stability by signal, or by pair for connectors."""
    assert main(["components"]) == 0
    listed = yaml.safe_load(capsys.readouterr().out)
    assert listed["buildinfo"]["version"] == sluiceway.__version__
    (otlp,) = [entry for entry in listed["receivers"] if entry["name"] == "otlp"]
    assert otlp["module"] == "sluiceway.receivers.otlp"
    assert set(otlp["stability"]) == {"traces", "metrics", "logs"}
    (forward,) = [entry for entry in listed["connectors"] if entry["name"] == "forward"]
    assert forward["stability"]["traces-to-logs"] == "Undefined"
    assert len(forward["stability"]) == 9
    assert {
        "name": "health_check",
        "module": "sluiceway.extensions.health_check",
        "stability": {"extension": "Beta"},
    } in listed["extensions"]
    assert main(["components", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == listed
