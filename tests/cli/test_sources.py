"""The flags that name a configuration."""

import json

import pytest

from sluiceway.cli.main import main


@pytest.mark.parametrize("arguments", [[], ["run"], ["validate"], ["print-config"]])
def test_without_a_configuration(arguments, capsys):
    """The Collector's words."""
    assert main(arguments) == 1
    assert "at least one config flag must be provided" in capsys.readouterr().err


def test_an_empty_path(capsys):
    """Such as that of a variable that is not set."""
    assert main(["validate", "--config", ""]) == 1
    assert "--config: the path is empty" in capsys.readouterr().err


def test_sets_win_over_files(good, capsys):
    """`--set` has the last word."""
    assert main(["print-config", "--config", good, "--set", "exporters.debug.verbosity=detailed", "--format=json"]) == 0
    assert json.loads(capsys.readouterr().out)["exporters"]["debug"]["verbosity"] == "detailed"
