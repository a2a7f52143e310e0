"""Secrets never print."""

import copy
import json
import pickle

import pytest
from pydantic import ValidationError

from sluiceway.config.types import Headers, Opaque, Settings


class Client(Settings):
    """Settings with secrets."""

    token: Opaque = Opaque("")
    """A secret."""
    headers: Headers
    """More of them."""


def test_never_prints() -> None:
    """No way of turning settings into text shows a secret."""
    client = Client(token="hunter2", headers={"authorization": "hunter2"})
    shown = f"{client} {client!r} {client.token:>20} {client.model_dump()} {client.model_dump_json()}"
    assert "hunter2" not in shown
    assert shown.count("[REDACTED]") == 9


def test_errors_do_not_print_it() -> None:
    """A mistake in settings does not show what stands there."""
    with pytest.raises(ValidationError) as caught:
        Client(token=["hunter2"], headers={"a": 5, "hunter2": "x"})
    assert "'hunter2'" not in str(caught.value)


def test_reveal() -> None:
    """The secret is given away where it is asked for, and where it is to be written unredacted."""
    client = Client(token="hunter2", headers={"a": "b"})
    assert client.token.reveal() == "hunter2"
    assert client.model_dump(mode="json", context={"unredacted": True}) == {"token": "hunter2", "headers": {"a": "b"}}


def test_comparison() -> None:
    """Equal secrets are equal and have one hash, an empty one is false, and a copy is the same object."""
    secret = Opaque("a")
    assert (secret, hash(secret)) == (Opaque("a"), hash(Opaque("a")))
    assert secret != Opaque("b")
    assert secret != "a"
    assert secret
    assert not Opaque("")
    assert copy.copy(secret) is copy.deepcopy(secret) is secret


def test_not_pickled() -> None:
    """A secret does not leave the process by pickling."""
    with pytest.raises(TypeError):
        pickle.dumps(Opaque("a"))


def test_headers_as_list() -> None:
    """Headers are a map, or a list of names and values."""
    client = Client(headers=[{"name": "a", "value": "1"}, {"name": "b"}])
    assert client.headers == {"a": Opaque("1"), "b": Opaque("")}


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ([{"name": "a"}, {"name": "a"}], "duplicate keys in map-style list: a"),
        ([{"nam": "a"}], "expected a map, or a list of entries with name and value"),
        ([{"name": "a", "extra": 1}], "expected a map, or a list of entries with name and value"),
        ("a=b", "Input should be a valid dictionary"),
    ],
)
def test_wrong_headers(headers: object, message: str) -> None:
    """Duplicate names and other shapes are refused."""
    with pytest.raises(ValidationError) as caught:
        Client(headers=headers)
    assert caught.value.errors()[0]["msg"] == message


def test_schema() -> None:
    """Editors see strings, and never a secret default."""
    schema = json.dumps(Client.model_json_schema())
    assert '"token": {"default": "", "description": "A secret.", "title": "Token", "type": "string"}' in schema
