"""Keys: how they may be written."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from sluiceway.personal.keys import parse_key, prepare_hmac_key

KEY = bytes(range(200, 232))


@pytest.mark.parametrize(
    "text",
    [
        KEY.hex(),
        KEY.hex().upper(),
        base64.b64encode(KEY).decode(),
        base64.urlsafe_b64encode(KEY).decode(),
        base64.b64encode(KEY).decode().rstrip("="),
        f" {KEY.hex()}\n",
    ],
)
def test_a_key_is_hexadecimal_or_base64(text: str) -> None:
    """Of either alphabet, padded or not."""
    assert parse_key(text) == KEY


@pytest.mark.parametrize("text", ["", " ", "!?!?", "abcde", "é" * 8, "abc=d"])
def test_what_is_no_key_is_refused(text: str) -> None:
    """With an error that does not show it."""
    with pytest.raises(ValueError, match=r"the key is") as error:
        parse_key(text)
    assert not text.strip() or text not in str(error.value)


@pytest.mark.parametrize("size", [16, 64, 65, 200])
def test_keys_of_any_length_make_a_block(size: int) -> None:
    """As HMAC has it."""
    key = bytes(size)
    assert hmac.digest(key, b"x", "sha256") == hmac.digest(prepare_hmac_key(key), b"x", hashlib.sha256)
