"""The webhook sink: each notice is posted as JSON and signed as Standard Webhooks 1.0 has it (standardwebhooks.com).

`webhook-id` is the notice's id, by which a receiver tells that it has it already; `webhook-signature` is
`v1,` and the base64 of HMAC-SHA256 over `ID.TIMESTAMP.BODY`.
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from pathlib import Path

import requests

from alarms.sender import SinkAway, SinkRefused, read_secret
from inspection.errors import SettingsError
from storage.alarms.alarm_store import Alarm
from storage.alarms.outbox import Delivery
from storage.alarms.sinks import WebhookSink

REFUSED = (400, 405, 406, 413, 415, 422)  # of this notice, however often it comes; others may pass
PREFIX = "whsec_"


class WebhookSender:
    """Posts; a redirect is not followed, so that a signed notice goes nowhere else."""

    refresh_s = 0.0

    def __init__(self, sink: WebhookSink, secrets: Path) -> None:
        self._sink, self._secrets = sink, secrets
        self._session = requests.Session()
        self._session.verify = sink.ca_file or True

    def send(self, delivery: Delivery, alarms: Sequence[Alarm]) -> None:
        body = json.dumps(delivery.content, separators=(",", ":")).encode()
        stamp = str(int(time.time()))
        headers = {
            "content-type": "application/json",
            "user-agent": "loomwatch",
            "webhook-id": delivery.uid,
            "webhook-timestamp": stamp,
            "webhook-signature": sign(self._key(), uid=delivery.uid, stamp=stamp, body=body),
        }
        try:
            answer = self._session.post(
                self._sink.url, data=body, headers=headers, timeout=self._sink.timeout_s, allow_redirects=False
            )
        except (requests.RequestException, OSError) as error:
            raise SinkAway(f"no answer, {type(error).__name__}") from error  # its text would quote the whole address
        if answer.status_code in REFUSED:
            raise SinkRefused(f"answered {answer.status_code}")
        if not 200 <= answer.status_code < 300:
            raise SinkAway(f"answered {answer.status_code}")

    def refresh(self, alarms: Sequence[Alarm]) -> None: ...

    def close(self) -> None:
        self._session.close()

    def _key(self) -> bytes:
        text = read_secret(self._secrets, self._sink.secret_file)
        if not text.startswith(PREFIX):
            return text.encode()
        try:
            return base64.b64decode(text.removeprefix(PREFIX), validate=True)
        except binascii.Error as error:
            name = self._secrets / self._sink.secret_file
            raise SettingsError(f"the secret {name} is no base64 behind {PREFIX}: correct it") from error


def sign(key: bytes, *, uid: str, stamp: str, body: bytes) -> str:
    """The value of `webhook-signature`."""
    digest = hmac.new(key, f"{uid}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
