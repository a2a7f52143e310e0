"""What to look at when TLS fails."""

from __future__ import annotations

import pytest

from sluiceway.config.advice import scheme_advice, tls_advice


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ("SSL_ERROR_SSL: OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: unable to get local issuer", "tls::ca_file"),
        ("self-signed certificate in certificate chain", "tls::ca_file"),
        ("OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: certificate has expired: OK", "renewed"),
        ("Hostname Verification Check failed.", "not for h: see the endpoint and tls::server_name_override"),
        ("tlsv13 alert certificate required", "tls::cert_file"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "tls::cert_file"),
        ("TLSV1_ALERT_UNKNOWN_CA", "does not accept our certificate"),
        ("sslv3 alert certificate expired", "does not accept our certificate"),
        ("tlsv1 alert protocol version", "tls::min_version"),
        ("OPENSSL_internal:WRONG_VERSION_NUMBER", "does not speak TLS"),
    ],
)
def test_the_words_of_openssl_and_boringssl_lead_to_a_key(words, key):
    """In whatever case they are spelt, and with underscores too."""
    assert key in tls_advice(words, "h")


def test_nothing_is_made_up():
    """What is not known gets no advice."""
    assert tls_advice("Socket closed", "h") == ""


@pytest.mark.parametrize(
    "answer", [b"Client sent an HTTP request to an HTTPS server.\n", b"The plain HTTP request was sent to HTTPS port"]
)
def test_a_server_that_wants_tls_is_understood(answer):
    """By the words of Go's servers and of nginx, and only as a refusal."""
    assert "the endpoint's scheme" in scheme_advice(400, answer)
    assert scheme_advice(200, answer) == scheme_advice(400, b"bad sample") == scheme_advice(400, None) == ""
