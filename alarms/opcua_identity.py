"""Who an OPC UA server is, and whom it lets in: certificates (X.509, PEM or DER) as OPC 10000-6 wants them, checked
before they are used."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from inspection.errors import SettingsError

log = logging.getLogger(__name__)

LEAST_BITS, MOST_BITS = 2048, 4096  # of a key for Basic256Sha256
PEM = b"-----BEGIN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """certificate, key: DER. uri: the application's, as the certificate has it and the server must say."""

    certificate: bytes
    key: bytes
    uri: str


def read_identity(sink: str, certificate_file: Path, key_file: Path) -> Identity:
    """Raises `SettingsError` that names the file and what is wrong with it."""
    certificate = _certificate(sink, certificate_file)
    data = _read(sink, key_file)
    load = serialization.load_pem_private_key if PEM in data else serialization.load_der_private_key
    try:
        key = load(data, password=None)
    except (ValueError, TypeError) as error:
        raise SettingsError(
            f"sink {sink}: {key_file} is no private key, or has a password: it must have none"
        ) from error
    if not isinstance(key, rsa.RSAPrivateKey) or not LEAST_BITS <= key.key_size <= MOST_BITS:
        raise SettingsError(f"sink {sink}: {key_file} must be an RSA key of {LEAST_BITS} to {MOST_BITS} bits")
    if key.public_key() != certificate.public_key():
        raise SettingsError(f"sink {sink}: key {key_file} does not belong to certificate {certificate_file}")
    if not certificate.not_valid_before_utc <= datetime.now(UTC) <= certificate.not_valid_after_utc:
        raise SettingsError(
            f"sink {sink}: certificate {certificate_file} is valid from {certificate.not_valid_before_utc:%Y-%m-%d} to "
            f"{certificate.not_valid_after_utc:%Y-%m-%d}: renew it"
        )
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uri = names.get_values_for_type(x509.UniformResourceIdentifier)[0]
    except (x509.ExtensionNotFound, IndexError) as error:
        raise SettingsError(
            f"sink {sink}: certificate {certificate_file} names no application: OPC UA clients want a URI, such as "
            "urn:mill:loomwatch, among its subject alternative names"
        ) from error
    der = serialization.Encoding.DER
    return Identity(
        certificate=certificate.public_bytes(der),
        key=key.private_bytes(der, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        uri=uri,
    )


class ListedClients:
    """Lets in clients whose certificate lies in a folder; it is read with each connection."""

    def __init__(self, sink: str, folder: Path) -> None:
        """Raises `SettingsError` when there is no such folder, or a file in it is no certificate."""
        self._sink, self._folder = sink, folder
        self._listed()

    async def __call__(self, certificate: x509.Certificate, client: Any) -> None:
        try:
            known = certificate in self._listed()
        except SettingsError as error:
            log.warning("%s", error)
            known = False
        if not known:
            log.warning("sink %s: a client is not let in, its certificate is not in %s", self._sink, self._folder)
            raise ServiceError(ua.StatusCodes.BadCertificateUntrusted)

    def _listed(self) -> list[x509.Certificate]:
        if not self._folder.is_dir():
            raise SettingsError(f"sink {self._sink}: clients_dir names {self._folder}, which is no folder")
        return [_certificate(self._sink, path) for path in sorted(self._folder.iterdir()) if path.is_file()]


def _certificate(sink: str, path: Path) -> x509.Certificate:
    data = _read(sink, path)
    try:
        return x509.load_pem_x509_certificate(data) if PEM in data else x509.load_der_x509_certificate(data)
    except ValueError as error:
        raise SettingsError(f"sink {sink}: {path} is no certificate, neither PEM nor DER") from error


def _read(sink: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"sink {sink}: cannot read {path}: {error.strerror}: put it there") from error
