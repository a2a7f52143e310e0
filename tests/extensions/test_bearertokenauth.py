"""Bearer tokens: who gets in, what we send, and files that change."""

import pytest
import yaml
from pydantic import ValidationError

from sluiceway.component import Context, Identity, Kind
from sluiceway.errors import ConfigError, UnauthenticatedError
from sluiceway.extensions.bearertokenauth import COMPONENT
from sluiceway.testing import ManualClock


def made(text, **context):
    """Make the extension from YAML text."""
    config = COMPONENT.config.model_validate(yaml.safe_load(text))
    return COMPONENT.create(config, Context("bearertokenauth", Kind.EXTENSION, **context))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", "no bearer token provided"),
        ("token: ''", "no bearer token provided"),
        ("tokens: [a, '']", "no bearer token provided"),
        ("{token: a, tokens: [b]}", "either tokens or token should be set, not both"),
    ],
)
def test_a_token_must_be_given(text, reason):
    """Without a token nobody could get in, or everybody."""
    with pytest.raises(ValidationError, match=reason):
        made(text)


@pytest.mark.parametrize("value", ["Bearer one", "Bearer two"])
async def test_each_of_the_tokens_lets_in(value):
    """A sender needs one of the tokens, under the scheme; its subject is not known."""
    async with made("tokens: [one, two]") as extension:
        assert await extension.authenticate({"authorization": (value,)}) == Identity(None)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ()},
        {"authorization": ("",)},
        {"authorization": ("secret",)},
        {"authorization": ("Bearer",)},
        {"authorization": ("Bearer ",)},
        {"authorization": ("Bearer secre",)},
        {"authorization": ("Bearer secrets",)},
        {"authorization": ("bearer secret",)},
        {"authorization": ("Bearer s\u00e9cret",)},
        {"authorization": ("Bearer \udc80",)},
        {"authorization": ("Bearer secret", "Bearer secret")},
        {"authorization": ("Bearer no", "Bearer secret")},
        {"x-token": ("Bearer secret",)},
    ],
)
async def test_nothing_else_lets_in(headers):
    """Missing, empty, wrong and repeated credentials are refused, and the text does not tell the token."""
    async with made("token: secret") as extension:
        with pytest.raises(UnauthenticatedError) as caught:
            await extension.authenticate(headers)
    assert "secret" not in str(caught.value)


async def test_scheme_and_header_can_be_others():
    """An empty scheme is the token alone, and the header is found whatever its case."""
    async with made("{token: secret, scheme: '', header: X-Token}") as extension:
        assert await extension.authenticate({"x-token": ("secret",)})
        assert extension.request_headers() == {"x-token": "secret"}


async def test_an_exporter_sends_the_first_token():
    """The client side gives the header for each request."""
    async with made("tokens: [one, two]") as extension:
        assert extension.request_headers() == {"authorization": "Bearer one"}


async def test_a_file_wins_and_is_followed(tmp_path):
    """Tokens come from the file, one a line, and change within a second after it; an unusable file changes nothing."""
    file, clock = tmp_path / "tokens", ManualClock()
    file.write_text("one\n\n two \n")
    async with made(f"{{token: other, filename: {file}}}", clock=clock) as extension:
        assert await extension.authenticate({"authorization": ("Bearer two",)})
        file.write_text("three\n")
        assert extension.request_headers() == {"authorization": "Bearer one"}
        await clock.advance(1)
        assert extension.request_headers() == {"authorization": "Bearer three"}
        for broken in (b"", b"\xff"):
            file.write_bytes(broken)
            await clock.advance(1)
            assert extension.request_headers() == {"authorization": "Bearer three"}


async def test_a_missing_file_is_an_error_at_start(tmp_path):
    """The error names the extension and the file."""
    with pytest.raises(ConfigError, match=r"extensions::bearertokenauth: cannot read .*nothing"):
        await made(f"filename: {tmp_path}/nothing").__aenter__()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"token": "canary\nb"}, "the value of header 'Authorization' holds characters"),
        ({"tokens": ["a", "canary\0"]}, "the value of header 'Authorization' holds characters"),
        ({"token": "canary", "header": "x y"}, "invalid header name 'x y'"),
    ],
)
def test_what_no_header_can_be_is_refused(settings, message):
    """A token or a name that could never be sent is found when the settings are read, and does not print."""
    with pytest.raises(ValidationError, match=message) as caught:
        COMPONENT.config.model_validate(settings)
    assert "canary" not in str(caught.value)


def test_tokens_do_not_print():
    """The settings do not show the token."""
    config = COMPONENT.config.model_validate({"token": "canary"})
    assert "canary" not in repr(config) + config.model_dump_json()
