"""The settings of gRPC clients."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sluiceway.config.grpc_client import GrpcClient, grpc_header


@pytest.mark.parametrize(
    ("endpoint", "target"),
    [
        ("backend:4317", "dns:///backend:4317"),
        ("[::1]:4317", "dns:///[::1]:4317"),
        ("http://backend:4317", "dns:///backend:4317"),
        ("https://backend:4317", "dns:///backend:4317"),
        ("dns:///backend:4317", "dns:///backend:4317"),
        ("passthrough:///backend:4317", "dns:///backend:4317"),
        ("unix:///run/otlp.sock", "unix:/run/otlp.sock"),
        ("unix:/run/otlp.sock", "unix:/run/otlp.sock"),
    ],
)
def test_every_form_of_endpoint_becomes_a_target(endpoint, target):
    """The Collector's forms are gRPC's own names."""
    assert GrpcClient(endpoint=endpoint).target == target


@pytest.mark.parametrize("endpoint", ["backend:http", "backend:", "http://backend:4317/", "backend:99999"])
def test_a_port_must_be_a_number(endpoint):
    """The text is the Collector's."""
    with pytest.raises(ValidationError, match=f'invalid port "{endpoint.rpartition(":")[2]}"'):
        GrpcClient(endpoint=endpoint)


@pytest.mark.parametrize("endpoint", [":21600", "http://:4317", " localhost:21600", "a b:1", "user@h:1"])
def test_a_host_is_needed(endpoint):
    """What could never be resolved is refused."""
    with pytest.raises(ValidationError, match="there is no host in it that can be connected to"):
        GrpcClient(endpoint=endpoint)


def test_a_port_is_needed():
    """There is no default port."""
    with pytest.raises(ValidationError, match="expected host:port"):
        GrpcClient(endpoint="backend")


@pytest.mark.parametrize(
    ("endpoint", "insecure", "is_encrypted"),
    [
        ("h:1", False, True),
        ("h:1", True, False),
        ("http://h:1", False, False),
        ("https://h:1", True, True),
    ],
)
def test_the_scheme_decides_before_insecure(endpoint, insecure, is_encrypted):
    """TLS is on by default; `http://` forces it off and `https://` on."""
    assert GrpcClient(endpoint=endpoint, tls={"insecure": insecure}).is_encrypted is is_encrypted


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"compression": "snappy"}, 'compression "snappy" is not available over gRPC here; use gzip, zstd or none'),
        ({"compression": "brotli"}, 'unsupported compression type "brotli"'),
        ({"balancer_name": "random"}, "invalid balancer_name: random"),
        ({"tls": {"min_version": "1.3"}}, "gRPC in Python cannot be held to TLS 1.3"),
        ({"tls": {"max_version": "1.2"}}, "gRPC in Python cannot be kept from TLS 1.3"),
        ({"headers": {"a!b": "x"}}, "invalid header name 'a!b': gRPC takes letters"),
        ({"headers": {"a": "\t"}}, "the value of header 'a' is not printable ASCII"),
        ({"read_buffer_size": 2**31}, "less than or equal to 2147483647"),
    ],
)
def test_what_grpcio_cannot_do_is_refused(settings, text):
    """Nothing is ignored in silence, and the text says what is possible."""
    with pytest.raises(ValidationError) as caught:
        GrpcClient(endpoint="h:1", **settings)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "tls",
    [{"min_version": "1.3"}, {"max_version": "1.2"}, {"insecure_skip_verify": True}],
    ids=lambda tls: next(iter(tls)),
)
def test_with_zstd_all_of_tls_can_be_set(tls):
    """Its channel is not grpcio's."""
    assert GrpcClient(endpoint="h:1", compression="zstd", tls=tls).is_encrypted


def test_tls_is_not_looked_at_without_tls():
    """What grpcio cannot do of TLS does not matter on a plain connection."""
    assert not GrpcClient(endpoint="http://h:1", tls={"min_version": "1.3"}).is_encrypted


def test_settings_become_channel_options():
    """Keepalive, buffers, balancer, names: each has its option, and the authority wins over the TLS name."""
    client = GrpcClient(
        endpoint="h:1",
        keepalive={"time": "20s", "permit_without_stream": True},
        read_buffer_size=1000,
        write_buffer_size=0,
        balancer_name="pick_first",
        authority="front",
        tls={"server_name_override": "back"},
    )
    options = dict(client._options())
    assert options["grpc.keepalive_time_ms"] == 20_000
    assert options["grpc.keepalive_permit_without_calls"] == 1
    assert options["grpc.http2.lookahead_bytes"] == 1000
    assert "grpc.http2.write_buffer_size" not in options
    assert options["grpc.service_config"] == '{"loadBalancingConfig": [{"pick_first": {}}]}'
    assert options["grpc.ssl_target_name_override"] == "back"
    assert options["grpc.default_authority"] == "front"


def test_metadata_names_are_lower_case_and_binary_values_bytes():
    """GRPC refuses anything else."""
    assert grpc_header("X-Tenant", "acme") == ("x-tenant", "acme")
    assert grpc_header("Trace-Bin", "ü") == ("trace-bin", b"\xc3\xbc")


@pytest.mark.parametrize(
    ("time", "timeout", "expected"), [("720h", "720h", (2**31 - 1, 2**31 - 1)), ("0s", "0s", (10_000, 20_000))]
)
async def test_every_keepalive_that_is_valid_opens_a_channel(time, timeout, expected):
    """Long times are those that gRPC can hold, and zero is Go's default, not a ping a millisecond."""
    client = GrpcClient(endpoint="h:1", keepalive={"time": time, "timeout": timeout})
    await client.open_channel(None).close()
    options = dict(client._options())
    assert (options["grpc.keepalive_time_ms"], options["grpc.keepalive_timeout_ms"]) == expected
