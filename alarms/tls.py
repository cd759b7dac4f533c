"""TLS of sinks: certificates and keys are read and checked before anything is connected, and what is wrong with them,
or with the other end's, is said in one line."""

import ssl
from pathlib import Path

from inspection.errors import SettingsError

UNKNOWN_AUTHORITY = (18, 19, 20, 21)  # OpenSSL's codes: self-signed, or signed by nobody that is known here


class _Closed(ssl.SSLSocket):
    """Is closed when its handshake fails: not every client library does that."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def client_context(sink: str, *, ca_file: str, certificate_file: str, key: Path | None) -> ssl.SSLContext:
    """ca_file: "" for the system's authorities. certificate_file and key: who we are, "" and None for nobody.

    Raises `SettingsError` that names the file.
    """
    context = ssl.create_default_context()
    if ca_file:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # that authority, and no other
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:
            raise SettingsError(
                f"sink {sink}: ca_file {ca_file} cannot be used: {_why(error)}: it must hold the authority's "
                "certificate as PEM"
            ) from error
    context.sslsocket_class = _Closed
    if certificate_file and key is not None:
        for path in (Path(certificate_file), key):
            if not path.is_file():
                raise SettingsError(f"sink {sink}: there is no file {path}: put the certificate and its key there")
        try:
            context.load_cert_chain(certificate_file, key, password=_no_password)
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"sink {sink}: certificate {certificate_file} and key {key} cannot be used: {_why(error)}: both "
                "must be PEM, belong together, and the key must have no password"
            ) from error
    return context


def why_refused(error: OSError) -> str:
    """Why a connection with TLS failed, for one line."""
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "; name its authority in ca_file" if error.verify_code in UNKNOWN_AUTHORITY else ""
        return f"its certificate is not accepted: {error.verify_message}{hint}"
    if isinstance(error, ssl.SSLError):
        if error.reason == "WRONG_VERSION_NUMBER":
            return "it does not speak TLS there: is the port right?"
        return f"TLS fails: {_why(error)}"
    return error.strerror or str(error)


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or error.strerror or "it is no PEM").replace("_", " ").lower()
    return getattr(error, "strerror", None) or str(error)


def _no_password() -> bytes:
    """OpenSSL would ask at the terminal."""
    return b""
