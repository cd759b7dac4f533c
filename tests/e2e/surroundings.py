"""What surrounds the processes of a plant and can be taken away: a server behind a proxy, a small disk, two hosts."""

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest


class Proxy:
    """Forwards a tcp port to a unix socket, until it is cut: then nobody listens and all connections are closed."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._accept()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()

    def cut(self) -> None:
        _hang_up(self._listener)
        for each in self._open:
            _hang_up(each)
        self._open.clear()

    def heal(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._accept()

    def _accept(self) -> None:
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def _serve(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(str(self._target))
                self._open += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=pair, daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for each in (source, sink):
        _hang_up(each)


def _hang_up(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False)


class SmallDisk:
    """A tmpfs at `folder`, in a mount namespace that a process of its own keeps. `before` starts a command in it."""

    def __init__(self, folder: Path, *, size: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        user = () if os.geteuid() == 0 else ("-r",)
        mount = f"mount -t tmpfs -o size={size} tmpfs '{folder}' && echo there && exec sleep 3600"
        self._process = subprocess.Popen(
            ["unshare", "-m", *user, "sh", "-c", mount], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.works = self._process.stdout.readline().strip() == "there"
        enter = ("-U", "--preserve-credentials") if user else ()
        self.before = ("nsenter", "-t", str(self._process.pid), "-m", *enter, f"--wd={Path.cwd()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def seen(self) -> Path:
        """Its folder as it can be reached from here."""
        return Path(f"/proc/{self._process.pid}/root{self.folder}")


def fill(folder: Path) -> Path:
    """Leaves no byte free on the disk of `folder`; the file to remove again."""
    filler = folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return filler


@contextmanager
def small_disk(folder: Path, *, size: str) -> Iterator[SmallDisk]:
    """Skips the test where mounting is not permitted."""
    if sys.platform != "linux" or shutil.which("unshare") is None or shutil.which("nsenter") is None:
        pytest.skip("a disk can be made full only where namespaces are (Linux with util-linux)")
    with SmallDisk(folder, size=size) as disk:
        if not disk.works:
            pytest.skip("this user may not mount a tmpfs, not even in a namespace of its own")
        yield disk


class TwoHosts:
    """Two network namespaces with a cable between them. `before[i]` starts a command on host i."""

    def __init__(self) -> None:
        mark = f"{os.getpid() % 100_000}"
        self._names = [f"lw{mark}a", f"lw{mark}b"]
        self._cables = [f"lwa{mark}", f"lwb{mark}"]
        self.addresses = ["10.213.7.1", "10.213.7.2"]
        self.before = [("ip", "netns", "exec", name) for name in self._names]

    def build(self) -> str:
        """Why it cannot be built, "" when it was."""
        steps = [["ip", "netns", "add", name] for name in self._names]
        steps.append(["ip", "link", "add", self._cables[0], "type", "veth", "peer", "name", self._cables[1]])
        for name, cable, address in zip(self._names, self._cables, self.addresses, strict=True):
            steps += [
                ["ip", "link", "set", cable, "netns", name],
                ["ip", "-n", name, "addr", "add", f"{address}/24", "dev", cable],
                ["ip", "-n", name, "link", "set", cable, "up"],
                ["ip", "-n", name, "link", "set", "lo", "up"],
            ]
        for step in steps:
            done = command(*step)
            if done.returncode:
                return f"{' '.join(step)}: {done.stderr.strip()}"
        return ""

    def plug(self, state: str) -> None:
        """up or down: down, packets vanish without a word to either end."""
        done = command("ip", "-n", self._names[0], "link", "set", self._cables[0], state)
        assert done.returncode == 0, done.stderr

    def remove(self) -> None:
        for name in self._names:
            command("ip", "netns", "del", name)


@contextmanager
def two_hosts() -> Iterator[TwoHosts]:
    """Skips the test where network namespaces are not permitted."""
    if shutil.which("ip") is None:
        pytest.skip("the network between two hosts can be cut only where `ip netns` is (iproute2)")
    hosts = TwoHosts()
    try:
        if problem := hosts.build():
            pytest.skip(f"network namespaces are not permitted here: {problem}")
        yield hosts
    finally:
        hosts.remove()
