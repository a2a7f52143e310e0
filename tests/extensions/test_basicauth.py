"""User names and passwords: who gets in, what we send, and files that change."""

import asyncio
import base64
import sys

import bcrypt
import pytest
import yaml
from pydantic import ValidationError

from sluiceway.component import Context, Identity, Kind
from sluiceway.errors import ConfigError, RefusedError, UnauthenticatedError
from sluiceway.extensions.basicauth import COMPONENT, WAITING
from sluiceway.extensions.basicauth.htpasswd import parse, verify
from sluiceway.testing import ManualClock

HASHES = {
    "apr1": "$apr1$Zr0mV2hf$9hYOkTgIPpZLjvY6uWTIZ.",  # openssl passwd -apr1 -salt Zr0mV2hf secret
    "sha": "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
    "plain": "secret",
    "bcrypt": bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode(),
}


def made(settings, **context):
    """Make the extension from settings, or from YAML text."""
    plain = yaml.safe_load(settings) if isinstance(settings, str) else settings
    return COMPONENT.create(COMPONENT.config.model_validate(plain), Context("basicauth", Kind.EXTENSION, **context))


def users(text, **context):
    """Make the server side."""
    return made({"htpasswd": {"inline": text}}, **context)


def shown(user, password):
    """Write the header of a sender."""
    return {"authorization": (f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}",)}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", "no credential source provided"),
        ("htpasswd: {}", "no credential source provided"),
        ("client_auth: {}", "client_auth needs a username"),
        ("{htpasswd: {inline: 'a:b'}, client_auth: {username: a}}", "only one of `htpasswd` or `client_auth`"),
    ],
)
def test_one_side_must_be_set(text, reason):
    """The extension serves a server or a client."""
    with pytest.raises(ValidationError, match=reason):
        made(text)


@pytest.mark.parametrize("kind", HASHES)
async def test_each_kind_of_hash_is_verified(kind):
    """The right password lets in, again and again, and gives the subject; a wrong one never does."""
    async with users(f"# comment\n\nalice:{HASHES[kind]}\n") as extension:
        for _ in range(2):
            assert await extension.authenticate(shown("alice", "secret")) == Identity("alice", {"username": "alice"})
            with pytest.raises(UnauthenticatedError):
                await extension.authenticate(shown("alice", "wrong"))


def test_apr1_agrees_with_others():
    """A password longer than a digest, and an empty one, hash as openssl hashes them."""
    assert verify("$apr1$abc$gOOMzxqmpkgwhi2wBnbWW/", b"a-very-long-password-over-sixteen")
    assert not verify("$apr1$abc$gOOMzxqmpkgwhi2wBnbWW/", b"")
    assert not verify("$2b$damaged", b"secret")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ("",)},
        {"authorization": ("Basic",)},
        {"authorization": ("Basic !!!",)},
        {"authorization": ("Basic " + base64.b64encode(b"alice").decode(),)},
        {"authorization": ("Basic " + base64.b64encode(b"\xff:secret").decode(),)},
        {"authorization": shown("alice", "secret")["authorization"] * 2},
        {"authorization": ("Bearer secret",)},
        shown("bob", "secret"),
        shown("", "secret"),
        shown("alice", ""),
        shown("alice", "x" * 257),
    ],
)
async def test_nothing_else_lets_in(headers):
    """Missing, malformed and repeated credentials and unknown users are refused."""
    async with users(f"alice:{HASHES['sha']}") as extension:
        with pytest.raises(UnauthenticatedError):
            await extension.authenticate(headers)


@pytest.mark.parametrize("kind", ["bcrypt", "apr1"])
async def test_slow_hashes_do_not_pile_up(kind):
    """When too many passwords wait for a slow hash, senders are told to come again."""
    async with users(f"alice:{HASHES[kind]}") as extension:
        attempts = [extension.authenticate(shown("alice", f"wrong{number}")) for number in range(WAITING + 5)]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        assert sum(isinstance(outcome, RefusedError) for outcome in outcomes) == 5
        assert await extension.authenticate(shown("alice", "secret"))


async def test_the_file_is_followed_and_inline_wins(tmp_path):
    """A changed file is in force within a second, also against what was proved before it."""
    file, clock = tmp_path / "htpasswd", ManualClock()
    file.write_text("alice:one\nbob:one\n")
    async with made({"htpasswd": {"file": str(file), "inline": "bob:fixed"}}, clock=clock) as extension:
        assert await extension.authenticate(shown("alice", "one"))
        assert await extension.authenticate(shown("bob", "fixed"))
        file.write_text("alice:twotwo\n")
        await clock.advance(1)
        with pytest.raises(UnauthenticatedError):
            await extension.authenticate(shown("alice", "one"))
        file.write_text("no colon\n")
        await clock.advance(1)
        assert await extension.authenticate(shown("alice", "twotwo"))


async def test_what_is_remembered_is_bounded(monkeypatch):
    """Proved credentials are forgotten when there are too many, oldest first."""
    monkeypatch.setattr("sluiceway.extensions.basicauth.REMEMBERED", 2)
    async with users("a:1\nb:2\nc:3") as extension:
        for user, password in (("a", 1), ("b", 2), ("c", 3)):
            await extension.authenticate(shown(user, password))
        assert len(extension._proved) == 2


async def test_an_exporter_sends_its_credentials(tmp_path):
    """User name and password come from the settings, or from files that are followed."""
    async with made("client_auth: {username: alice, password: secret}") as extension:
        assert extension.request_headers() == {"authorization": shown("alice", "secret")["authorization"][0]}
    clock = ManualClock()
    for name in ("user", "password"):
        (tmp_path / name).write_text(f"{name}\n")
    files = {"username_file": str(tmp_path / "user"), "password_file": str(tmp_path / "password")}
    async with made({"client_auth": files}, clock=clock) as extension:
        assert extension.request_headers() == {"authorization": shown("user", "password")["authorization"][0]}
        (tmp_path / "password").write_text("another")
        await clock.advance(1)
        assert extension.request_headers() == {"authorization": shown("user", "another")["authorization"][0]}


async def test_unusable_files_are_errors_at_start(tmp_path, monkeypatch):
    """A missing file, a line without a hash and a missing library are named."""
    file = tmp_path / "users"
    with pytest.raises(ConfigError, match=r"extensions::basicauth: cannot read .*users"):
        await made(f"htpasswd: {{file: {file}}}").__aenter__()
    file.write_text("alice:x\nbob")
    with pytest.raises(ConfigError, match="htpasswd: line 2 is not user:hash"):
        await made(f"htpasswd: {{file: {file}}}").__aenter__()
    monkeypatch.setitem(sys.modules, "bcrypt", None)
    with pytest.raises(ConfigError, match=r"sluiceway\[auth\]"):
        parse("alice:$2y$05$abc")


def test_unusable_lines_are_wrong_settings(monkeypatch):
    """What stands in the configuration is read with it, and a hash that nothing here could verify is refused."""
    with pytest.raises(ValidationError, match="htpasswd: line 2 is not user:hash"):
        users("alice:x\nbob")
    monkeypatch.setitem(sys.modules, "bcrypt", None)
    with pytest.raises(ValidationError, match=r"sluiceway\[auth\]"):
        users("alice:$2y$05$abc")


async def test_a_long_password_is_not_even_hashed():
    """More than 256 bytes are refused before any work is done, as a hash takes time for each of them."""
    async with users(f"alice:{'x' * 257}") as extension:
        with pytest.raises(UnauthenticatedError, match="too long"):
            await extension.authenticate(shown("alice", "x" * 257))
