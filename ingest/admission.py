"""Who is let in: the CURVE server's side of an ingestor's socket, with pyzmq's ZAP authenticator (RFC 27) over the
listed keys. An unlisted key is refused in the handshake, before it can send or receive anything, and counted."""

import logging
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import zmq
from zmq.auth.thread import ThreadAuthenticator

from inspection.keys import Listed, own_key

log = logging.getLogger(__name__)

DOMAIN = "loomwatch"
LOUD_REFUSALS = 10


class Admission:
    """Use with `with`, around the socket. Raises `SettingsError` for keys that cannot be used."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], keys_dir: Path, name: str) -> None:
        self._context = context
        self._public, self._secret = own_key(keys_dir, name, "ingest")
        self._listed = Listed(keys_dir, "worker")
        self.refused = 0  # handshakes with a key that is not listed

    def __enter__(self) -> Self:
        self._authenticator = ThreadAuthenticator(self._context, log=logging.getLogger("loomwatch.zap"))
        self._authenticator.configure_curve_callback(domain="*", credentials_provider=self)
        self._authenticator.configure_curve_callback(domain=DOMAIN, credentials_provider=self)
        self._authenticator.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._authenticator.stop()

    def protect(self, router: zmq.Socket[bytes]) -> None:
        """Before it binds."""
        router.setsockopt(zmq.CURVE_SERVER, 1)
        router.setsockopt(zmq.CURVE_PUBLICKEY, self._public)
        router.setsockopt(zmq.CURVE_SECRETKEY, self._secret)
        router.setsockopt_string(zmq.ZAP_DOMAIN, DOMAIN)
        router.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # without an authenticator nobody gets in, instead of everybody

    @property
    def names(self) -> Mapping[bytes, str]:
        """The keys let in now, and whose they are."""
        return self._listed.names()

    def callback(self, domain: str, key: bytes) -> bool:
        """Asked by the authenticator, in its thread, at each handshake."""
        if key in self.names:
            return True
        self.refused += 1
        level = logging.WARNING if self.refused <= LOUD_REFUSALS else logging.DEBUG
        log.log(level, "key %s is not listed and gets nothing", key.decode("ascii", "replace"))
        return False
