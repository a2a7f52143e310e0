"""Sizes, lists of strings and endpoints."""

import pytest
from pydantic import TypeAdapter, ValidationError

from sluiceway.config.types import Size, StringList, parse_size, split_endpoint


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512MiB", 512 << 20),
        ("64 KiB", 65536),
        ("1GB", 10**9),
        ("1.5KB", 1500),
        ("7B", 7),
        ("0.5GiB", 1 << 29),
        ("1TiB", 1 << 40),
    ],
)
def test_size(text: str, size: int) -> None:
    """A size has a unit of thousands or of 1024, and may have a fraction."""
    assert parse_size(text) == size == TypeAdapter(Size).validate_python(text)


@pytest.mark.parametrize("value", ["512", "1 XiB", "-1KiB", "KiB", "", 1.5, "1e3KB"])
def test_wrong_size(value: object) -> None:
    """Nothing else is taken for a size."""
    with pytest.raises(ValidationError):
        TypeAdapter(Size).validate_python(value)


def test_size_as_integer() -> None:
    """A number is bytes."""
    assert TypeAdapter(Size).validate_python(4096) == 4096


@pytest.mark.parametrize(
    ("value", "strings"), [("a, b,c", ("a", "b", "c")), ("", ()), (["a,b"], ("a,b",)), ([], ()), ("a", ("a",))]
)
def test_string_list(value: object, strings: tuple[str, ...]) -> None:
    """A plain string is split on commas; a list is taken as it is."""
    assert TypeAdapter(StringList).validate_python(value) == strings


@pytest.mark.parametrize(
    ("endpoint", "parts"),
    [
        ("localhost:4317", ("localhost", 4317)),
        (":0", ("", 0)),
        ("[::1]:4318", ("::1", 4318)),
        ("0.0.0.0:65535", ("0.0.0.0", 65535)),
    ],
)
def test_endpoint(endpoint: str, parts: tuple[str, int]) -> None:
    """An endpoint is a host, which may be empty, and a port."""
    assert split_endpoint(endpoint) == parts


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("localhost", 'invalid endpoint "localhost": expected host:port'),
        ("::1:4317", 'invalid endpoint "::1:4317": expected host:port'),
        ("localhost:http", 'invalid port "http"'),
        ("localhost:65536", 'invalid port "65536"'),
        ("localhost:", 'invalid port ""'),
    ],
)
def test_wrong_endpoint(endpoint: str, message: str) -> None:
    """The port is mandatory and a number."""
    with pytest.raises(ValueError) as caught:
        split_endpoint(endpoint)
    assert str(caught.value) == message
