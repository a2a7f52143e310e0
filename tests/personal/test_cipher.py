"""Encryption: it is XAES-256-GCM, keys rotate, nonces never come twice."""

from __future__ import annotations

import base64
import os
import subprocess
import sys

import pytest

from sluiceway.personal.cipher import TOKEN, Cipher, UnknownKeyError, derive

KEYS = {"k2": b"2" * 32, "k1": b"1" * 32}
NONCE_BYTES = 24


def nonce(token: bytes) -> bytes:
    """The nonce of a token."""
    text = token.rpartition(b":")[2]
    return base64.urlsafe_b64decode(text[:32])[:NONCE_BYTES]


@pytest.mark.parametrize(
    ("key", "data", "sealed"),
    [
        (b"\1", b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        (b"\3", b"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
    ],
)
def test_it_is_xaes_256_gcm(key: bytes, data: bytes, sealed: str) -> None:
    """The specification's own examples."""
    assert derive(key * 32, b"ABCDEFGHIJKL").encrypt(b"MNOPQRSTUVWX", b"XAES-256-GCM", data).hex() == sealed


def test_what_was_encrypted_can_be_decrypted() -> None:
    """Any bytes; the token names the key and is found in a text."""
    cipher = Cipher(KEYS)
    for value in (b"", b"jane@example.com", "größe".encode(), bytes(range(256)) * 50):
        token = cipher.encrypt(value).decode()
        assert TOKEN.search(f"x {token}, y")[0] == token
        assert token.startswith("enc:v1:k2:")
        assert cipher.decrypt(token) == value


def test_keys_rotate_without_loss() -> None:
    """The first encrypts; what an older one has encrypted can be read as long as it is there."""
    old = Cipher({"k1": KEYS["k1"]}).encrypt(b"value").decode()
    assert Cipher(KEYS).decrypt(old) == b"value"
    assert Cipher({"k3": b"3" * 32, **KEYS}).encrypt(b"x").startswith(b"enc:v1:k3:")
    with pytest.raises(UnknownKeyError, match='there is no key "k1"'):
        Cipher({"k2": KEYS["k2"]}).decrypt(old)


@pytest.mark.parametrize("place", [10, 20, 45, 60, -1])
def test_a_changed_token_is_refused(place: int) -> None:
    """Wherever it was changed."""
    token = Cipher(KEYS).encrypt(b"some value").decode()
    changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place:][1:]
    with pytest.raises(ValueError, match=r"was changed|no encrypted value"):
        Cipher(KEYS).decrypt(changed)


def test_the_name_of_the_key_is_authenticated() -> None:
    """A token cannot be made one of another key."""
    token = Cipher({"a": KEYS["k1"]}).encrypt(b"x").decode()
    with pytest.raises(ValueError, match="was changed"):
        Cipher({"b": KEYS["k1"]}).decrypt(token.replace(":a:", ":b:"))


@pytest.mark.parametrize("keys", [{}, {"k": b"short"}])
def test_keys_have_32_bytes(keys: dict[str, bytes]) -> None:
    """There is at least one, and each has the length that AES-256 takes."""
    with pytest.raises(ValueError, match="keys of 32 bytes"):
        Cipher(keys)


def test_no_nonce_comes_twice_in_a_million_values() -> None:
    """Nor among ciphers of the same key, as after a restart."""
    seen: set[bytes] = set()
    for _ in range(4):
        cipher = Cipher(KEYS)
        seen.update(nonce(cipher.encrypt(b"")) for _ in range(250_000))
    assert len(seen) == 1_000_000


def test_a_derived_key_serves_a_bounded_number_of_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the first half of the nonce is drawn anew."""
    monkeypatch.setattr("sluiceway.personal.cipher._MOST_VALUES", 3)
    cipher = Cipher(KEYS)
    tokens = [cipher.encrypt(b"x") for _ in range(7)]
    assert len({nonce(token)[:12] for token in tokens}) == 3
    assert {cipher.decrypt(token.decode()) for token in tokens} == {b"x"}


def test_no_nonce_comes_twice_across_processes() -> None:
    """Each process has a random half of its own."""
    program = (
        "from sluiceway.personal.cipher import Cipher\n"
        "cipher = Cipher({'k': b'1' * 32})\nprint(*(cipher.encrypt(b'').decode() for _ in range(100)))"
    )
    tokens = b" ".join(
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout for _ in range(3)
    ).split()
    assert len({nonce(token) for token in tokens}) == 300
    assert len({nonce(token)[:12] for token in tokens}) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process")
def test_a_fork_draws_anew() -> None:
    """The child does not go on with the numbers of its parent."""
    cipher = Cipher(KEYS)
    first = nonce(cipher.encrypt(b""))
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, nonce(cipher.encrypt(b"")))
        os._exit(0)
    assert os.read(reading, NONCE_BYTES)[:12] != first[:12]
    os.wait()
    assert nonce(cipher.encrypt(b""))[:12] == first[:12]
