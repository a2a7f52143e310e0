"""Logs that tests open, and leave open as a crash would, are closed behind each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.segments.records import OPENED


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()
