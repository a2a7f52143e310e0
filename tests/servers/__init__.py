"""Real servers for tests, one module each: started as processes on loopback, in temporary folders."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

__all__ = ["program"]


def program(name: str, package: str, *places: str) -> Path:
    """Where a program is: on the path or in one of `places`; the test is skipped without it, and fails in CI.

    `package` is the Debian package that has it, as `.ci/packages` lists it.
    """
    found = shutil.which(name) or next((place for place in places if Path(place).is_file()), None)
    if found is None:
        text = f"{name} is not installed (Debian's package {package})"
        pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)
    return Path(found)
