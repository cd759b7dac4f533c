"""People in front of the dashboard, for benchmarks: each speaks Streamlit's own protocol through the door, as a browser
does, and draws nothing. It asks for each part of a page that renews itself as often as the page says, fetches every new
picture, and tells the server which large messages it still has.
"""

import contextlib
import http.client
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Delta_pb2 import Delta
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from inspection.errors import ServiceError

ANSWER_S = 60.0
KEPT_MESSAGES = 200  # that the browser still has, by their hash
KEPT_PICTURES = 500


class Viewer:
    """One tab of one person. address: of the dashboard; cookie: NAME=SECRET of their session; page: its path, "" for
    Line. Use with `with`; the tab lives in a thread of its own.

    act_every_s: presses the button `act` that often; 0: never.
    """

    def __init__(self, address: str, *, cookie: str, page: str = "", act: str = "", act_every_s: float = 0.0) -> None:
        place = urlsplit(address)
        self._host, self._cookie = place.netloc, cookie
        self._page, self._act, self._act_every_s = page, act, act_every_s
        self._due: dict[str, tuple[float, float]] = {}  # fragment -> (when next, every so many seconds)
        self._buttons: dict[str, str] = {}  # label -> id
        self._kept: OrderedDict[str, None] = OrderedDict()
        self._pictures: OrderedDict[str, None] = OrderedDict()
        self._script, self._query = "", ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._live, name=f"viewer-{page or 'line'}", daemon=True)
        self.runs, self.acts, self.pictures, self.received = 0, 0, 0, 0
        self.problem = ""

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = time.monotonic() + ANSWER_S
        while not self.runs:
            if self.problem or time.monotonic() > deadline:
                self._stop.set()
                raise ServiceError(f"the dashboard's page {self._page or 'line'} does not open: {self.problem}")
            time.sleep(0.05)
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(ANSWER_S)

    def _live(self) -> None:
        try:
            with connect(
                f"ws://{self._host}/_stcore/stream",
                additional_headers={"Cookie": self._cookie},
                subprotocols=["streamlit"],  # type: ignore[list-item]
                max_size=None,
                open_timeout=ANSWER_S,
            ) as socket:
                self._ask(socket)
                self._look(socket)
        except (OSError, WebSocketException, http.client.HTTPException) as error:
            self.problem = str(error) or type(error).__name__

    def _look(self, socket: Connection) -> None:
        act_at = time.monotonic() + self._act_every_s if self._act_every_s else float("inf")
        while not self._stop.is_set():
            now = time.monotonic()
            for fragment, (at, every_s) in list(self._due.items()):
                if at <= now:
                    self._due[fragment] = (now + every_s, every_s)
                    self._ask(socket, fragment=fragment)
            if act_at <= now and (button := self._buttons.get(self._act)):
                act_at = now + self._act_every_s
                self.acts += 1
                self._ask(socket, pressed=button)
            wake_at = min([act_at, *(at for at, _ in self._due.values())])
            with contextlib.suppress(TimeoutError):
                data = socket.recv(timeout=min(0.5, max(0.0, wake_at - time.monotonic())))
                if isinstance(data, bytes):
                    self._take(data)

    def _ask(self, socket: Connection, *, fragment: str = "", pressed: str = "") -> None:
        """Runs the page, or its part `fragment`; `pressed`: the button that was."""
        message = BackMsg()
        state = message.rerun_script
        state.query_string, state.page_script_hash, state.fragment_id = self._query, self._script, fragment
        state.is_auto_rerun = bool(fragment)
        if not self._script:
            state.page_name = self._page
        state.cached_message_hashes.extend(self._kept)
        state.context_info.timezone = "UTC"
        state.context_info.locale = "en"
        state.context_info.url = f"http://{self._host}/{self._page}"
        if pressed:
            widget = state.widget_states.widgets.add()
            widget.id, widget.trigger_value = pressed, True
        socket.send(message.SerializeToString())

    def _take(self, data: bytes) -> None:
        self.received += len(data)
        message = ForwardMsg()
        message.ParseFromString(data)
        match message.WhichOneof("type"):
            case "navigation":
                self._script = message.navigation.page_script_hash
            case "new_session":
                if not message.metadata.run.fragment_ids:  # the whole page
                    self._due.clear()
                    self._buttons.clear()
            case "page_info_changed":
                self._query = message.page_info_changed.query_string
            case "auto_rerun":
                every_s = message.auto_rerun.interval
                self._due[message.auto_rerun.fragment_id] = (time.monotonic() + every_s, every_s)
            case "stop_auto_rerun":
                for fragment in message.stop_auto_rerun.fragment_ids:
                    self._due.pop(fragment, None)
            case "delta":
                self._take_delta(message.delta)
            case "script_finished":
                self.runs += 1
        if message.metadata.cacheable and message.hash:
            _keep(self._kept, message.hash, KEPT_MESSAGES)

    def _take_delta(self, delta: Delta) -> None:
        if delta.WhichOneof("type") != "new_element":
            return
        element = delta.new_element
        match element.WhichOneof("type"):
            case "button":
                self._buttons[element.button.label] = element.button.id
            case "imgs":
                self._fetch(image.url for image in element.imgs.imgs)

    def _fetch(self, urls: Iterable[str]) -> None:
        wanted = [url for url in urls if url.startswith("/media/") and url not in self._pictures]
        if not wanted:
            return
        with contextlib.closing(http.client.HTTPConnection(self._host, timeout=ANSWER_S)) as connection:
            for url in wanted:
                connection.request("GET", url, headers={"Cookie": self._cookie})
                self.received += len(connection.getresponse().read())
                self.pictures += 1
                _keep(self._pictures, url, KEPT_PICTURES)


def _keep(kept: OrderedDict[str, None], name: str, most: int) -> None:
    kept[name] = None
    kept.move_to_end(name)
    while len(kept) > most:
        kept.popitem(last=False)
