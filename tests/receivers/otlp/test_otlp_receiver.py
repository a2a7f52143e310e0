"""The receiver as a whole: its settings, and what it says at start."""

import pytest
import yaml
from pydantic import ValidationError

from sluiceway.receivers.otlp import OtlpConfig, OtlpGrpc, OtlpHttp
from sluiceway.testing import MemorySink
from tests.receivers.otlp.senders import BOTH, receiving


def test_a_protocol_must_be_named():
    """A receiver without a protocol is refused, and one with nothing after it has its defaults."""
    for text in ("protocols: {}", "protocols:"):
        with pytest.raises(ValidationError, match="must specify at least one protocol when using the OTLP receiver"):
            OtlpConfig.model_validate(yaml.safe_load(text))
    config = OtlpConfig.model_validate(yaml.safe_load("protocols: {grpc: , http: }"))
    assert config.protocols.grpc == OtlpGrpc(endpoint="localhost:4317")
    assert config.protocols.http == OtlpHttp(endpoint="localhost:4318")


async def test_the_address_of_a_protocol_that_is_off_is_not_known():
    """Who asks for it is told so."""
    async with receiving(MemorySink(), "protocols: {grpc: {endpoint: 'localhost:0'}}") as receiver:
        with pytest.raises(LookupError):
            _ = receiver.http_address
    async with receiving(MemorySink(), "protocols: {http: {endpoint: 'localhost:0'}}") as receiver:
        with pytest.raises(LookupError):
            _ = receiver.grpc_address


async def test_an_open_endpoint_is_warned_about(caplog):
    """An endpoint that others can reach without TLS and authentication is named at start; loopback is not."""
    async with receiving(MemorySink(), BOTH):
        assert not caplog.text
    for transport in ("tcp", "tcp4"):
        text = BOTH.replace("localhost:0'", f"0.0.0.0:0', transport: {transport}")
        async with receiving(MemorySink(), text):
            pass
    assert caplog.text.count("0.0.0.0:0 is reachable from other machines without tls and without auth") == 4


async def test_settings_without_effect_are_warned_about(caplog):
    """CORS headers without origins, and codings that are not decoded, are named at start."""
    text = "cors: {allowed_headers: [X]}, compression_algorithms: ['', snappy, lz4]"
    async with receiving(MemorySink(), f"protocols: {{http: {{endpoint: 'localhost:0', {text}}}}}"):
        pass
    assert "no allowed origins" in caplog.text
    assert "not decoded here: lz4, snappy" in caplog.text


async def test_what_others_raise_at_start_stops_what_had_started(monkeypatch):
    """An unforeseen error is passed on as it is."""
    monkeypatch.setattr("sluiceway.receivers.otlp.http.HttpReceiver.start", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        await receiving(MemorySink()).__aenter__()
