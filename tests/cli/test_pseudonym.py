"""`sluiceway pseudonym`: whoever has the key finds a person's data."""

import pytest

from sluiceway.cli.main import main
from sluiceway.personal.pseudonyms import keyed_hash, pseudonym
from tests.cli.command import GOOD

KEY = b"0123456789abcdef"
TWO = f"""{GOOD}
processors:
  anonymize/a: {{keys: {{hmac: '{KEY.hex()}'}}}}
  anonymize/b: {{keys: {{hmac: '{bytes(16).hex()}'}}}}
"""


def test_the_pseudonym_of_each_value_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever its spelling."""
    assert main(["pseudonym", "--config", f"yaml:{TWO}", "--processor", "anonymize/a", "Jane@Example.com", "42"]) == 0
    assert capsys.readouterr().out.split() == [pseudonym(KEY, "jane@example.com"), pseudonym(KEY, "42")]


def test_hashes_are_printed_on_demand(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the action `hash`; the key can come from a variable."""
    monkeypatch.setenv("KEY", KEY.hex())
    assert main(["pseudonym", "--hmac", "env:KEY", "--hash", "42"]) == 0
    assert capsys.readouterr().out == f"{keyed_hash(KEY, '42')}\n"


def test_the_detector_must_find_the_value(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Else the value has no pseudonym by it."""
    monkeypatch.setenv("KEY", KEY.hex())
    assert main(["pseudonym", "--hmac", "env:KEY", "--detector", "email", "jane"]) == 1
    assert '"jane" is not what the detector email finds' in capsys.readouterr().err


def test_of_several_processors_one_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    """For each may have another key."""
    assert main(["pseudonym", "--config", f"yaml:{TWO}", "x"]) == 1
    assert "several have them (anonymize/a, anonymize/b): say which with --processor" in capsys.readouterr().err
