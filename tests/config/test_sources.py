"""Sources are files, variables and texts, by URI."""

from pathlib import Path

import pytest

from sluiceway.config.parse import MAX_BYTES
from sluiceway.config.sources import read_set, read_source, split_uri
from sluiceway.config.tree import plain
from sluiceway.errors import ConfigError


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("file:a.yaml", ("file", "a.yaml")),
        ("a.yaml", ("file", "a.yaml")),
        ("C:\\a.yaml", ("file", "C:\\a.yaml")),
        ("yaml:a: b", ("yaml", "a: b")),
        ("env:X", ("env", "X")),
    ],
)
def test_uris(uri: str, parts: tuple[str, str]) -> None:
    """A scheme has at least two characters, and without one a path is meant."""
    assert split_uri(uri, "file") == parts


def test_file_with_and_without_scheme(tmp_path: Path) -> None:
    """A file is named by its path; a byte order mark is no part of it."""
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1")
    assert plain(read_source(str(file), {})) == plain(read_source(f"file:{file}", {})) == {"a": 1}


def test_variable_and_text() -> None:
    """A configuration can stand in a variable or on the command line."""
    assert plain(read_source("env:X", {"X": "a: 1"})) == {"a": 1}
    assert plain(read_source("yaml:a::b: 1", {})) == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("env:X", 'environment variable "X" is not set, so there is no configuration in it'),
        ("http:///a", "http:///a is not a valid URL"),
        ("s3://a", 'scheme "s3" is not supported for uri "s3://a" (valid values: [env file http https yaml])'),
        ("missing.yaml", "unable to read the file missing.yaml: No such file or directory"),
        ("a\0b", "unable to read the file a\0b: the path is not valid"),
        ("yaml:[1]", "yaml::1:1: a configuration is a map of sections, and this is a list"),
        ("yaml:5", "yaml::1:1: a configuration is a map of sections, and this is a int"),
    ],
)
def test_mistakes(uri: str, message: str) -> None:
    """What cannot be read says why."""
    with pytest.raises(ConfigError) as caught:
        read_source(uri, {})
    assert str(caught.value) == message


def test_wrong_files(tmp_path: Path) -> None:
    """A file must be UTF-8 and of bounded size."""
    file = tmp_path / "a.yaml"
    file.write_bytes(b"a: 1\nb: \xff")
    with pytest.raises(ConfigError, match=r"a\.yaml:2:4: not UTF-8"):
        read_source(str(file), {})
    file.write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="larger than 4194304 bytes"):
        read_source(str(file), {})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b.c=5", {"a": {"b": {"c": 5}}}),
        ("a::b=[x, y]", {"a": {"b": ["x", "y"]}}),
        ("a=b=c", {"a": "b=c"}),
        ("a=", {"a": None}),
    ],
)
def test_set(text: str, value: object) -> None:
    """`--set` takes a path with dots and a value in YAML."""
    assert plain(read_set(text)) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [("a.b", "missing equal sign"), ("a..b=1", '"a..b" is not a path of keys'), ("=1", '"" is not a path of keys')],
)
def test_wrong_set(text: str, message: str) -> None:
    """An assignment has a key and an equal sign."""
    with pytest.raises(ConfigError, match=message):
        read_set(text)
