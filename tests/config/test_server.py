"""The settings of servers."""

import pytest
import yaml
from pydantic import ValidationError

from sluiceway.config.server import GrpcServer, HttpServer

TLS = "tls: {cert_file: c, key_file: k, min_version: '1.3'}"


def options(text):
    """Read gRPC settings, and give their channel arguments."""
    return dict(GrpcServer.model_validate(yaml.safe_load(text)).options)


@pytest.mark.parametrize(
    ("model", "text", "reason"),
    [
        (GrpcServer, "{endpoint: nowhere}", "expected host:port"),
        (GrpcServer, "{endpoint: 'localhost:x'}", 'invalid port "x"'),
        (GrpcServer, "{max_recv_msg_size_mib: -1}", "greater than or equal to 0"),
        (GrpcServer, "{max_recv_msg_size_mib: 2048}", "less than or equal to 2047"),
        (GrpcServer, "{" + TLS + "}", "cannot be held to TLS 1.3"),
        (GrpcServer, "{middlewares: [{id: x}]}", "no extension can be a middleware"),
        (HttpServer, '{response_headers: {a: "b\\nc"}}', "cannot be a response header"),
        (HttpServer, "{compression_algorithms: [br]}", "compression_algorithms"),
        (HttpServer, "{auth: {}}", "authenticator"),
        (HttpServer, "{transport: npipe}", "transport"),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(model, text, reason):
    """Each rule has its message."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(yaml.safe_load(text))
    assert reason in str(caught.value)


def test_grpc_defaults_protect():
    """Without settings messages, streams, handshakes and connections are bounded, and ports are not shared."""
    given = options("{}")
    assert given["grpc.so_reuseport"] == 0
    assert given["grpc.max_receive_message_length"] == 4 * 1024 * 1024
    assert given["grpc.max_concurrent_streams"] == 100
    assert given["grpc.max_connection_age_ms"] == 300_000
    assert given["grpc.max_connection_idle_ms"] == 2**31 - 1


def test_grpc_settings_become_channel_arguments():
    """Sizes, streams and keepalive reach gRPC."""
    given = options("""
        max_recv_msg_size_mib: 16
        max_concurrent_streams: 7
        keepalive:
          server_parameters: {max_connection_idle: 11s, max_connection_age: 0s, time: 30s, timeout: 5s}
          enforcement_policy: {min_time: 10s, permit_without_stream: true}
    """)
    assert given["grpc.max_receive_message_length"] == 16 * 1024 * 1024
    assert given["grpc.max_concurrent_streams"] == 7
    assert given["grpc.max_connection_idle_ms"] == 11_000
    assert given["grpc.max_connection_age_ms"] == 2**31 - 1
    assert (given["grpc.keepalive_time_ms"], given["grpc.keepalive_timeout_ms"]) == (30_000, 5_000)
    assert given["grpc.http2.min_ping_interval_without_data_ms"] == 10_000
    assert given["grpc.keepalive_permit_without_calls"] == 1


def test_http_sizes():
    """The body is bounded by 20 MiB, also when 0 is written."""
    assert HttpServer().max_body_size == HttpServer(max_request_body_size=0).max_body_size == 20 * 1024 * 1024
    assert HttpServer.model_validate({"max_request_body_size": "1MiB"}).max_body_size == 1024 * 1024


def test_zero_is_gos_default_where_never_would_harm():
    """Zero switches off what ends connections; pings, and how often clients may ping, keep Go's defaults."""
    given = options("""
        keepalive:
          server_parameters:
            {max_connection_idle: 0s, max_connection_age: 0s, max_connection_age_grace: 0s, time: 0s, timeout: 0s}
          enforcement_policy: {min_time: 0s}
    """)
    ended = ("idle", "age", "age_grace")
    assert [given[f"grpc.max_connection_{name}_ms"] for name in ended] == [2**31 - 1] * 3
    assert (given["grpc.keepalive_time_ms"], given["grpc.keepalive_timeout_ms"]) == (7_200_000, 20_000)
    assert given["grpc.http2.min_ping_interval_without_data_ms"] == 300_000
