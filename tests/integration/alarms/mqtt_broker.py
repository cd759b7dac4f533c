"""An MQTT broker (amqtt) as a process: PORT [--passwords FILE] [--tls CERTIFICATE KEY AUTHORITY]. With TLS it lets in
only who shows a certificate of the authority."""

import argparse
import asyncio
import ssl
from typing import Any

from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig

parser = argparse.ArgumentParser()
parser.add_argument("port")
parser.add_argument("--passwords")
parser.add_argument("--tls", nargs=3)
given = parser.parse_args()


class Strict(Broker):
    @staticmethod
    def _create_ssl_context(listener: Any) -> ssl.SSLContext:
        context = Broker._create_ssl_context(listener)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


async def main() -> None:
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": not given.passwords}}
    if given.passwords:
        plugins["amqtt.plugins.authentication.FileAuthPlugin"] = {"password_file": given.passwords}
    certificate, key, authority = given.tls or (None, None, None)
    listener = ListenerConfig(
        bind=f"127.0.0.1:{given.port}", ssl=bool(given.tls), certfile=certificate, keyfile=key, cafile=authority
    )
    await Strict(BrokerConfig(listeners={"default": listener}, plugins=plugins)).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
