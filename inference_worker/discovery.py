"""Which ingestors there are: the addresses that are listed, and every address that a listed name has at the moment (a
Kubernetes headless service, a DNS name with an address for each camera host). New ones are noticed, and gone ones."""

import logging
import socket
import threading
from collections.abc import Callable, Sequence

from inspection.endpoints import Endpoint
from inspection.wakeup import Bell

log = logging.getLogger(__name__)

Resolve = Callable[[str], set[str]]


def addresses_of(host: str) -> set[str]:
    """All addresses of a name. Raises `OSError` when it has none, or nobody can tell."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return {str(address[0]) for *_, address in found}


def is_name(host: str) -> bool:
    """Whether `host` has to be looked up; ZeroMQ itself knows what localhost is."""
    if not host or host == "localhost":
        return False
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host.partition("%")[0])
            return False
        except OSError:
            continue
    return True


class Discovery:
    """A thread that looks names up, because that may take seconds; rings `bell` when what it found is new. Without
    names it does nothing. A name that cannot be looked up keeps the addresses it had."""

    def __init__(
        self, endpoints: Sequence[Endpoint], bell: Bell, *, every_s: float, resolve: Resolve = addresses_of
    ) -> None:
        self._fixed = {each.address: each for each in endpoints if not is_name(each.host)}
        self._names = [each for each in endpoints if is_name(each.host)]
        self._bell = bell
        self._every_s = every_s
        self._resolve = resolve
        self._known: dict[Endpoint, set[str]] = {}
        self._failing: set[Endpoint] = set()
        self._found = dict(self._fixed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="discovery", daemon=True)

    def start(self) -> None:
        if self._names:
            self._thread.start()

    def stop(self) -> None:
        """Does not wait for a look-up in progress."""
        self._stop.set()

    @property
    def found(self) -> dict[str, Endpoint]:
        """The addresses to be connected to now, each with what was listed."""
        return self._found

    def look(self) -> None:
        """Looks all names up once."""
        for endpoint in self._names:
            try:
                addresses = self._resolve(endpoint.host)
            except OSError as error:
                if endpoint not in self._failing:
                    log.warning("cannot look up %s: %s; it is tried again", endpoint.host, error)
                self._failing.add(endpoint)
                continue
            self._failing.discard(endpoint)
            self._known[endpoint] = addresses
        found = dict(self._fixed)
        for endpoint, addresses in self._known.items():
            for address in addresses:
                host = f"[{address}]" if ":" in address else address
                found[f"tcp://{host}:{endpoint.port}"] = endpoint
        if found != self._found:
            self._found = found
            self._bell.ring()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.look()
            self._stop.wait(self._every_s)
