"""The Collector's feature gates."""

from sluiceway.cli.main import main


def test_known_gates_are_accepted_with_a_warning(good, caplog):
    """The Collector's command lines work."""
    assert (
        main(["validate", "--config", good, "--feature-gates", "service.partialReload,-service.AllowNoPipelines"]) == 0
    )
    assert "service.partialReload is accepted and changes nothing" in caplog.text
    assert "service.AllowNoPipelines" in caplog.text


def test_unknown_and_empty_gates_are_errors(good, capsys):
    """As in the Collector."""
    assert main(["validate", "--config", good, "--feature-gates", "no.such,"]) == 1
    error = capsys.readouterr().err
    assert 'no such feature gate "no.such"' in error
    assert "empty feature gate identifier" in error
