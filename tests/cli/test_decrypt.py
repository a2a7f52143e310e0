"""`sluiceway decrypt`: whoever has the keys reads what was encrypted."""

import subprocess
import sys
from pathlib import Path

import pytest

from sluiceway.cli.main import main
from sluiceway.personal.cipher import Cipher
from tests.cli.command import GOOD

KEYS = {"k2": b"2" * 32, "k1": b"1" * 32}
TOKENS = [Cipher({id: key}).encrypt("größe".encode()).decode() for id, key in KEYS.items()]


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A configuration whose `anonymize` has both keys."""
    file = tmp_path / "collector.yaml"
    keys = ", ".join(f"{{id: {id}, key: '{key.hex()}'}}" for id, key in KEYS.items())
    file.write_text(f"{GOOD}\nprocessors:\n  anonymize: {{keys: {{aes: [{keys}]}}}}\n  anonymize/none: {{}}\n")
    return str(file)


def test_texts_are_printed_in_clear(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the keys of the configuration, whatever stands around the tokens."""
    assert main(["decrypt", "--config", config, f"a {TOKENS[0]}, {TOKENS[1]}.", "plain"]) == 0
    assert capsys.readouterr().out == "a größe, größe.\nplain\n"


def test_keys_can_come_from_variables_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the configuration is not at hand."""
    monkeypatch.setenv("K2", KEYS["k2"].hex())
    file = tmp_path / "k1"
    file.write_text(KEYS["k1"].hex() + "\n")
    assert main(["decrypt", "--aes", "k2=env:K2", "--aes", f"k1=file:{file}", *TOKENS]) == 0
    assert capsys.readouterr().out == "größe\ngröße\n"


def test_lines_come_from_standard_input() -> None:
    """Line by line, so that a file of any length can be read."""
    done = subprocess.run(
        [sys.executable, "-m", "sluiceway", "decrypt", "--aes", "k2=env:K2"],
        input=f'{{"a": "{TOKENS[0]}"}}\nb\n', env={"K2": KEYS["k2"].hex()}, check=False, capture_output=True,
        text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == '{"a": "größe"}\nb\n'


def test_what_cannot_be_decrypted_stays(
    config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And is told, with the key that is missing or the damage; the exit code is 1."""
    monkeypatch.setenv("K1", KEYS["k1"].hex())
    assert main(["decrypt", "--aes", "k1=env:K1", *TOKENS]) == 1
    out, err = capsys.readouterr()
    assert out == f"{TOKENS[0]}\ngröße\n"
    assert 'there is no key "k2"' in err
    damaged = TOKENS[0][:-2] + ("AA" if TOKENS[0][-2:] != "AA" else "BB")
    assert main(["decrypt", "--config", config, damaged]) == 1
    assert "was changed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "at least one config flag must be provided"),
        (["--aes", "k=00"], "a key is given by env:NAME or file:PATH"),
        (["--aes", "k=env:NOT_SET"], "env:NOT_SET: the key is empty"),
        (["--aes", "k=file:/nowhere"], "file:/nowhere: "),
        (["--config", f"yaml:{GOOD}"], "the keys of an anonymize processor are needed, and none has them"),
    ],
)
def test_missing_keys_are_told(arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With what would help."""
    assert main(["decrypt", *arguments, "x"]) == 1
    assert problem in capsys.readouterr().err
