"""`sluiceway validate`: silent, or every mistake."""

import re

from sluiceway.cli.main import main
from tests.cli.command import GOOD, sluice


def test_validate_says_nothing_when_all_is_well(good, capsys):
    """As the Collector: silence and zero."""
    assert main(["validate", "--config", good]) == 0
    assert capsys.readouterr() == ("", "")


def test_validate_warns_of_headers_that_never_come(tmp_path, capsys):
    """What works but hardly as it was meant is printed with its place, and is no failure."""
    file = tmp_path / "empty.yaml"
    tenant = "processors: {tenant: {from: [{header: x-tenant}], default: none}}"
    file.write_text(f"{GOOD}\n{tenant}".replace("exporters: [debug]", "processors: [tenant], exporters: [debug]"))
    done = sluice("validate", "--config", str(file))
    assert (done.returncode, done.stdout) == (0, "")
    assert re.search(r"empty\.yaml:\d+:\d+: processors::tenant::from::0::header: .*receivers::otlp", done.stderr)


def test_validate_shows_every_mistake(tmp_path, capsys):
    """Each on its own line with file, line, column and path, and a count at the end."""
    file = tmp_path / "bad.yaml"
    file.write_text(GOOD.replace("verbosity", "verbosty").replace("exporters: [debug]", "exporters: [debgu]"))
    assert main(["validate", f"--config={file}"]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert re.fullmatch(rf"error: {file}:3:\d+: exporters::debug: .*verbosty.*", errors[0])
    assert 'references exporter "debgu" which is not configured' in errors[1]
    assert errors[2:] == ["2 errors"]
