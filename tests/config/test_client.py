"""What clients send of themselves: headers and user agent."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sluiceway.config.client import RequestHeaders, user_agent
from sluiceway.config.types import Settings


class _Client(Settings):
    headers: RequestHeaders


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"bad name": "x"}, "invalid header name 'bad name'"),
        ({"": "x"}, "invalid header name ''"),
        ({"a": "x\r\ninjected: y"}, "holds characters that no header may have"),
        ({"A": "1", "a": "2"}, "given twice, in different spellings"),
    ],
)
def test_headers_that_cannot_be_sent_are_refused(headers, text):
    """What would fail every request, or forge one, is refused before the start; the value is not shown."""
    with pytest.raises(ValidationError, match=text) as caught:
        _Client(headers=headers)
    assert "injected" not in str(caught.value)


def test_headers_may_be_a_list():
    """Both of the Collector's forms give the same headers."""
    assert _Client(headers=[{"name": "X-A", "value": "1"}]) == _Client(headers={"X-A": "1"})


def test_the_user_agent_names_us_and_the_platform():
    """Name, version, system and machine."""
    assert user_agent().startswith("sluiceway/")
    assert user_agent().endswith(")")
