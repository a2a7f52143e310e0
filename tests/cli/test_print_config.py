"""`sluiceway print-config`: secrets stay hidden."""

from sluiceway.cli.main import main


def test_print_config_hides_secrets(good, capsys):
    """Secrets show only when that is asked for."""
    assert main(["print-config", "--config", good]) == 0
    redacted = capsys.readouterr().out
    assert "hush-hush" not in redacted
    assert "[REDACTED]" in redacted
    assert main(["print-initial-config", "--config", good, "--mode=unredacted", "--validate=false"]) == 0
    assert "hush-hush" in capsys.readouterr().out
