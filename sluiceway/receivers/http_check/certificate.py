"""What a certificate says: until when it is valid, and of whom it is. Needs the package cryptography."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Certificate", "read_certificate"]


class Certificate(NamedTuple):
    """What is told of a certificate."""

    expires: int
    """When it expires, in ns since the epoch."""
    issuer: str
    """Who issued it, as RFC 4514 writes names."""
    name: str
    """The subject's common name."""
    names: tuple[str, ...]
    """The subject's alternative names: addresses, URIs, DNS names, mailboxes."""


def read_certificate(der: bytes) -> Certificate | None:
    """Read a certificate; None when it cannot be read."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        read = x509.load_der_x509_certificate(der)
        common = read.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        name = str(common[0].value) if common else ""
        issuer, expires = read.issuer.rfc4514_string(), int(read.not_valid_after_utc.timestamp()) * 10**9
    except ValueError:
        return None
    return Certificate(expires, issuer[:1000], name[:1000], _alternative_names(read))


def _alternative_names(certificate: object) -> tuple[str, ...]:
    from cryptography import x509

    assert isinstance(certificate, x509.Certificate)  # noqa: S101 - for the types
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return ()
    kinds: tuple[type[x509.GeneralName], ...] = (
        x509.IPAddress,
        x509.UniformResourceIdentifier,
        x509.DNSName,
        x509.RFC822Name,
    )
    return tuple(str(name.value)[:300] for kind in kinds for name in names if isinstance(name, kind))[:100]
