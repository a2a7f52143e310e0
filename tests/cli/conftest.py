"""What tests of commands share."""

import pytest

from tests.cli.command import GOOD


@pytest.fixture
def good(tmp_path):
    """A file that is a working configuration."""
    file = tmp_path / "good.yaml"
    file.write_text(GOOD)
    return str(file)
