"""`redaction` in a whole collector: what it deletes and masks is no loss, and bad settings say where they stand."""

from __future__ import annotations

import asyncio
import urllib.request

import pytest

from sluiceway.errors import ConfigError
from sluiceway.otlp import Batch, Signal
from sluiceway.service import Collector
from tests.processors.samples import gauge, logs, spans

CARD = "4111111111111111"
YAML = """
receivers:
  otlp: {protocols: {http: {endpoint: 'localhost:0'}}}
processors:
  attributes: {actions: [{key: card, value: '4111111111111111', action: insert}]}
  redaction: {allowed_keys: [card, note], blocked_values: ['4[0-9]{15}'], summary: info}
  attributes/later: {actions: [{key: after, value: '4111111111111111', action: insert}]}
exporters:
  memory: {component: sluiceway.testing:MemorySink}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces: {receivers: [otlp], processors: [attributes, redaction, attributes/later], exporters: [memory]}
    metrics: {receivers: [otlp], processors: [attributes, redaction, attributes/later], exporters: [memory]}
    logs: {receivers: [otlp], processors: [attributes, redaction, attributes/later], exporters: [memory]}
"""


def post(collector: Collector, batch: Batch) -> None:
    """Send a batch over HTTP, and wait until it is answered."""
    host, port = collector.component("receiver", "otlp").http_address
    request = urllib.request.Request(
        f"http://{host}:{port}/v1/{batch.signal.value}",
        data=batch.payload,
        headers={"Content-Type": "application/x-protobuf"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


async def test_what_is_redacted_is_no_loss() -> None:
    """Every item that came is delivered, by the ledger; neighbouring editors take effect in their order."""
    async with asyncio.timeout(30), Collector.from_yaml(YAML) as collector:
        for batch in (spans(3, note=CARD, secret="x"), gauge(note=CARD), logs(f"pay {CARD}", secret="x")):
            await asyncio.to_thread(post, collector, batch)
        arrived = collector.component("exporter", "memory").batches
    balances = collector.ledger.balances()
    assert {b.pipeline: (b.accepted, b.delivered, b.missing) for b in balances} == {
        "traces": (3, 3, 0),
        "metrics": (1, 1, 0),
        "logs": (1, 1, 0),
    }
    (traces,) = (batch.proto() for batch in arrived if batch.signal is Signal.TRACES)
    span = traces.resource_spans[0].scope_spans[0].spans[0]
    assert {kv.key: kv.value.string_value or kv.value.int_value for kv in span.attributes} == {
        "note": "****",
        "card": "****",
        "redaction.redacted.count": 1,
        "redaction.masked.count": 2,
        "after": CARD,
    }
    assert b"secret" not in b"".join(batch.payload for batch in arrived)


def test_a_bad_pattern_says_where_it_stands() -> None:
    """The line, the key, and RE2's reason."""
    text = YAML.replace("'4[0-9]{15}'", "good,\n    'b(ad'")
    with pytest.raises(ConfigError) as caught:
        Collector.from_yaml(text)
    message = str(caught.value)
    assert "redaction" in message
    assert "blocked_values" in message
    assert 'invalid pattern "b(ad": missing )' in message
    assert ":7" in message or "line 7" in message
