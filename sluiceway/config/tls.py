"""The `tls` section of servers and clients, and what is built from it: `ssl.SSLContext` and gRPC credentials.

Settings are checked without touching a file, PEM text that stands in the configuration itself included; the files are
read when a context or credentials are built, which raises `ConfigError`, and again after `reload_interval` when they
have changed. What grpcio cannot be told (TLS versions, cipher suites) is refused rather than ignored.
"""

from __future__ import annotations

import logging
import os
import re
import ssl
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self, TypeVar

from pydantic import ConfigDict, Field, model_validator

from sluiceway.clock import Clock
from sluiceway.config.certificates import lapse
from sluiceway.config.ciphers import openssl_ciphers
from sluiceway.config.files import FileBacked, Logger
from sluiceway.config.rules import not_together
from sluiceway.config.settings import mistake
from sluiceway.config.types import Duration, Opaque, Section, Settings, StringList
from sluiceway.errors import ConfigError

if TYPE_CHECKING:
    import grpc

__all__ = ["TlsClient", "TlsServer", "Tpm"]

_log = logging.getLogger("sluiceway.config")

T = TypeVar("T")
Version = Literal["", "1.0", "1.1", "1.2", "1.3"]
_VERSIONS: Final = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
_CURVES: Final = {"X25519": "X25519", "P256": "prime256v1", "P384": "secp384r1", "P521": "secp521r1"}
_PRIVATE_KEY: Final = re.compile(
    r"-----BEGIN (?!ENCRYPTED)([A-Z0-9 ]*PRIVATE KEY)-----[\sA-Za-z0-9+/=]+-----END \1-----"
)
_NO_CERTIFICATE: Final = "no usable certificate in it"
_NO_KEY: Final = "no usable private key in it; encrypted keys are not supported"
_SYSTEM_BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


class Tpm(Settings):
    """A key that lives in a TPM; accepted only switched off."""

    enabled: bool = False
    """Whether the key is in a TPM, which Sluiceway does not support."""
    path: str = ""
    """The device."""
    owner_auth: Opaque = Opaque("")
    """The owner's authorisation."""
    auth: Opaque = Opaque("")
    """The key's authorisation."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.enabled:
            raise ValueError("keys in a TPM are not supported")
        return self


class _Tls(Settings):
    model_config = ConfigDict(
        json_schema_extra=not_together(("ca_file", "ca_pem"), ("cert_file", "cert_pem"), ("key_file", "key_pem"))
    )

    ca_file: str = ""
    """The file with the certificates of authorities that the other side's certificate must come from."""
    ca_pem: Opaque = Opaque("")
    """The same as PEM text."""
    include_system_ca_certs_pool: bool = False
    """Whether the system's authorities are trusted besides those given."""
    cert_file: str = ""
    """The file with our certificate and its chain."""
    cert_pem: Opaque = Opaque("")
    """The same as PEM text."""
    key_file: str = ""
    """The file with our private key."""
    key_pem: Opaque = Opaque("")
    """The same as PEM text."""
    min_version: Version = "1.2"
    """The oldest TLS version spoken."""
    max_version: Version = ""
    """The newest TLS version spoken; empty is 1.3."""
    cipher_suites: StringList = ()
    """The suites of TLS 1.2, by their IANA names; empty leaves the choice to OpenSSL."""
    include_insecure_cipher_suites: bool = False
    """Whether `cipher_suites` may name suites without forward secrecy."""
    curve_preferences: tuple[Literal["X25519", "P256", "P384", "P521"], ...] = ()
    """One entry restricts the key exchange to that curve; with several, OpenSSL's own order stays."""
    reload_interval: Duration = Field(default=0.0, ge=0)
    """How often the certificate files are looked at for changes; 0s never."""
    tpm: Section[Tpm] = None
    """A key in a TPM, which is not supported."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.ca_file and self.ca_pem:
            raise ValueError("provide either a CA file or the PEM-encoded string, but not both")
        if (self.cert_file and self.cert_pem) or (self.key_file and self.key_pem):
            raise ValueError("provide either certificate file or PEM, but not both")
        if self._has_certificate != self._has_key:
            raise ValueError(
                "TLS configuration must include both certificate and key (CertFile/CertPem and KeyFile/KeyPem)"
            )
        if (self.min_version or "1.2") > (self.max_version or "1.3"):
            raise mistake("invalid TLS configuration: min_version cannot be greater than max_version", "min_version")
        self._check_choices()
        self._check_texts()
        return self

    def _check_choices(self) -> None:
        """Try what is asked of OpenSSL, which may have been built without it."""
        try:
            openssl_ciphers(self.cipher_suites, insecure=self.include_insecure_cipher_suites)
        except ValueError as error:
            raise mistake(str(error), "cipher_suites") from None
        if self.model_fields_set & {"min_version", "max_version", "cipher_suites", "curve_preferences"}:
            try:
                self._choose(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
            except (ssl.SSLError, ValueError) as error:
                raise ValueError(f"not possible with {ssl.OPENSSL_VERSION}: {error}") from None

    def _check_texts(self) -> None:
        """Read the PEM that stands in the configuration itself."""
        if not (self.ca_pem or self.cert_pem or self.key_pem):
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for key, text in (("ca_pem", self.ca_pem), ("cert_pem", self.cert_pem)):
            try:
                if text:
                    _trust(context, text.reveal().encode(), key)
            except ConfigError:
                raise mistake(_NO_CERTIFICATE, key) from None
        if self.key_pem and not _PRIVATE_KEY.search(self.key_pem.reveal()):
            raise mistake(_NO_KEY, "key_pem")
        if self.cert_pem and self.key_pem:
            try:
                _load_pair(context, (self.key_pem.reveal().encode(), self.cert_pem.reveal().encode()), "", "")
            except ConfigError:
                raise mistake("cert_pem and key_pem cannot be used together", "key_pem") from None

    @property
    def files(self) -> tuple[str, ...]:
        """The files that the section names, for those who watch them."""
        return tuple(file for file in (self.ca_file, self.cert_file, self.key_file) if file)

    @property
    def grpc_problem(self) -> str:
        """What grpcio cannot do of this section, as a sentence; empty when it can do all."""
        if self.min_version == "1.3":
            return "gRPC in Python cannot be held to TLS 1.3; leave min_version at 1.2, or use OTLP/HTTP"
        if self.max_version not in ("", "1.3"):
            return "gRPC in Python cannot be kept from TLS 1.3; leave max_version out, or use OTLP/HTTP"
        if self.cipher_suites:
            return "gRPC in Python cannot choose cipher_suites; leave them out, or use OTLP/HTTP"
        return ""

    @property
    def _has_certificate(self) -> bool:
        return bool(self.cert_file or self.cert_pem)

    @property
    def _has_key(self) -> bool:
        return bool(self.key_file or self.key_pem)

    def _interval(self) -> float | None:
        return self.reload_interval or None

    def _key_pair(self) -> tuple[bytes, bytes] | None:
        if not self._has_certificate:
            return None
        return _pem(self.key_file, self.key_pem, "key_file"), _pem(self.cert_file, self.cert_pem, "cert_file")

    def _authorities(self) -> bytes | None:
        if not (self.ca_file or self.ca_pem):
            return None
        given = _pem(self.ca_file, self.ca_pem, "ca_file")
        return given + b"\n" + (_system_authorities() or b"") if self.include_system_ca_certs_pool else given

    def _apply(self, context: ssl.SSLContext) -> None:
        self._choose(context)
        pair = self._key_pair()
        if pair:
            _load_pair(context, pair, self.cert_file or "cert_pem", self.key_file or "key_pem")

    def _followed(self, load: Callable[[], T], clock: Clock | None, logger: Logger) -> FileBacked[T]:
        """What `load` makes of the files, anew when they have changed; warns of our certificate's time."""

        def warned() -> T:
            made = load()
            pair = self._key_pair()
            if pair and (said := lapse(pair[1])):
                logger.warning("the certificate %s %s", self.cert_file or "cert_pem", said)
            return made

        return FileBacked(warned, self.files, interval=self._interval(), clock=clock, logger=logger)

    def _choose(self, context: ssl.SSLContext) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # 1.0 and 1.1 stand there because somebody asked
            context.minimum_version = _VERSIONS[self.min_version or "1.2"]
            context.maximum_version = _VERSIONS[self.max_version or "1.3"]
        ciphers = openssl_ciphers(self.cipher_suites, insecure=self.include_insecure_cipher_suites)
        if ciphers:
            context.set_ciphers(ciphers)
        if len(self.curve_preferences) == 1:
            context.set_ecdh_curve(_CURVES[self.curve_preferences[0]])


class TlsServer(_Tls):
    """The `tls` section of a server. `client_ca_file` makes a certificate of the client mandatory (mTLS)."""

    client_ca_file: str = ""
    """The file with the authorities that clients' certificates must come from; switches mTLS on."""
    client_ca_file_reload: bool = False
    """Whether a changed `client_ca_file` is taken over; it is looked at every `reload_interval`, or every second."""

    @model_validator(mode="after")
    def _check_server(self) -> Self:
        if not self._has_certificate:
            raise ValueError("TLS configuration must include both certificate and key for server connections")
        return self

    @property
    def files(self) -> tuple[str, ...]:
        """The files that the section names, for those who watch them."""
        watched = super().files if self.reload_interval else ()
        return (*watched, self.client_ca_file) if self.client_ca_file and self._reloads else watched

    @property
    def _reloads(self) -> bool:
        return self.client_ca_file_reload or self.reload_interval > 0

    def _interval(self) -> float | None:
        return self.reload_interval or (1.0 if self.client_ca_file_reload else None)

    def ssl_context(
        self,
        alpn: Sequence[str] = (),
        clock: Clock | None = None,
        logger: Logger = _log,
        kind: type[ssl.SSLContext] = ssl.SSLContext,
    ) -> ssl.SSLContext:
        """Build the context of a listener. Changed files are in force for the connections that come after.

        Raises `ConfigError` when a file cannot be used.
        """
        newest = self._followed(partial(self._build_context, tuple(alpn), kind), clock, logger)
        context = newest.current()

        def choose(connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
            connection.context = newest.current()

        if self._interval() is not None:
            context.sni_callback = choose
        return context

    def grpc_credentials(self, clock: Clock | None = None, logger: Logger = _log) -> grpc.ServerCredentials:
        """Build the credentials of a gRPC server. Changed files are in force for the connections that come after.

        Raises `ConfigError` when a file cannot be used, or when the section asks for what grpcio cannot do.
        """
        import grpc

        if self.grpc_problem:
            raise ConfigError(self.grpc_problem)
        newest = self._followed(self._grpc_configuration, clock, logger)
        if self._interval() is None:
            pair, authorities = self._grpc_material()
            return grpc.ssl_server_credentials([pair], authorities, require_client_auth=bool(self.client_ca_file))
        return grpc.dynamic_ssl_server_credentials(
            newest.current(), newest.current, require_client_authentication=bool(self.client_ca_file)
        )

    def _build_context(self, alpn: tuple[str, ...] = (), kind: type[ssl.SSLContext] = ssl.SSLContext) -> ssl.SSLContext:
        context = kind(ssl.PROTOCOL_TLS_SERVER)
        self._apply(context)
        if self.client_ca_file:
            _trust(context, _read(self.client_ca_file, "client_ca_file"), "client_ca_file", self.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context

    def _grpc_material(self) -> tuple[tuple[bytes, bytes], bytes | None]:
        pair = self._key_pair()
        assert pair is not None  # noqa: S101 - the validator demands a certificate
        return pair, _read(self.client_ca_file, "client_ca_file") if self.client_ca_file else None

    def _grpc_configuration(self) -> grpc.ServerCertificateConfiguration:
        import grpc

        self._build_context()  # says which file is wrong, where gRPC only fails handshakes
        pair, authorities = self._grpc_material()
        return grpc.ssl_server_certificate_configuration([pair], authorities)


class TlsClient(_Tls):
    """The `tls` section of a client. Without settings: TLS, checked against the system's authorities."""

    insecure: bool = False
    """Whether to speak plain text, without any TLS."""
    insecure_skip_verify: bool = False
    """Whether to take any certificate from the server. Over gRPC only with `compression: zstd`."""
    server_name_override: str = ""
    """The name that the server's certificate must have, when it is not the endpoint's."""

    @property
    def grpc_problem(self) -> str:
        """What grpcio cannot do of this section, as a sentence; empty when it can do all."""
        if self.insecure_skip_verify and not self.insecure:
            return "gRPC in Python cannot skip verification; give the server's certificate as ca_file instead"
        return super().grpc_problem

    @property
    def grpc_options(self) -> tuple[tuple[str, str], ...]:
        """The channel options that the section asks for."""
        name = self.server_name_override
        return (("grpc.ssl_target_name_override", name), ("grpc.default_authority", name)) if name else ()

    def ssl_context(self) -> ssl.SSLContext:
        """Build the context of outgoing connections; raise `ConfigError` when a file cannot be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authorities = self._authorities()
        if self.insecure_skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif authorities is None:
            context.load_default_certs()
        else:
            _trust(context, authorities, "ca_file" if self.ca_file else "ca_pem", self.ca_file)
        self._apply(context)
        return context

    def grpc_credentials(self) -> grpc.ChannelCredentials:
        """Build the credentials of a gRPC channel; raise `ConfigError` for what cannot be used or done."""
        import grpc

        if self.grpc_problem:
            raise ConfigError(self.grpc_problem)
        self.ssl_context()  # says which file is wrong, where gRPC only fails handshakes
        key, certificate = self._key_pair() or (None, None)
        return grpc.ssl_channel_credentials(self._authorities() or _system_authorities(), key, certificate)

    def reloaded_ssl_context(self, clock: Clock | None = None, logger: Logger = _log) -> Callable[[], ssl.SSLContext]:
        """Return a function that gives the context for a new connection, anew when the files have changed."""
        return self._followed(self.ssl_context, clock, logger).current

    def reloaded_grpc_credentials(
        self, clock: Clock | None = None, logger: Logger = _log
    ) -> Callable[[], grpc.ChannelCredentials]:
        """Return a function that gives the credentials: another object means that a new channel is due."""
        return self._followed(self.grpc_credentials, clock, logger).current


def _read(file: str, key: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"tls::{key}: cannot read {file}: {error.strerror}") from error


def _pem(file: str, text: Opaque, key: str) -> bytes:
    return _read(file, key) if file else text.reveal().encode()


def _trust(context: ssl.SSLContext, authorities: bytes, key: str, file: str = "") -> None:
    try:
        context.load_verify_locations(cadata=authorities.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(f"tls::{key}: {_NO_CERTIFICATE}{file and f': {file}'}") from error


def _load_pair(context: ssl.SSLContext, pair: tuple[bytes, bytes], certificate: str, key: str) -> None:
    with _as_file(b"\n".join(pair)) as path:
        try:
            context.load_cert_chain(path, password=_no_password)
        except (ssl.SSLError, ValueError) as error:
            raise ConfigError(_fault(pair, certificate, key)) from error


def _fault(pair: tuple[bytes, bytes], certificate: str, key: str) -> str:
    try:
        _trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), pair[1], "cert_file", certificate)
    except ConfigError as error:
        return str(error)
    if not _PRIVATE_KEY.search(pair[0].decode("ascii", "ignore")):
        return f"tls::key_file: {_NO_KEY}: {key}"
    return f"tls: the certificate {certificate} and the key {key} cannot be used together"


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Give the path of a file with this content, as Python loads key pairs only from files.

    It lies in memory where the system can do that; elsewhere its owner alone can read it, and it is gone at once.
    """
    in_memory = sys.platform == "linux" and Path("/proc/self/fd").is_dir()
    with os.fdopen(os.memfd_create("pair"), "wb") if in_memory else tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}" if in_memory else str(file.name)


def _no_password() -> str:
    raise ValueError("encrypted keys are not supported")


def _system_authorities() -> bytes | None:
    paths = ssl.get_default_verify_paths()
    candidates: Iterable[str | None] = (paths.cafile, paths.openssl_cafile, *_SYSTEM_BUNDLES)
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            return Path(candidate).read_bytes()
    return None
