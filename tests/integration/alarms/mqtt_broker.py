"""An MQTT broker (amqtt) as a process: PORT [PASSWORD_FILE]."""

import asyncio
import sys

from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig


async def main() -> None:
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": len(sys.argv) < 3}}
    if len(sys.argv) > 2:
        plugins["amqtt.plugins.authentication.FileAuthPlugin"] = {"password_file": sys.argv[2]}
    config = BrokerConfig(listeners={"default": ListenerConfig(bind=f"127.0.0.1:{sys.argv[1]}")}, plugins=plugins)
    await Broker(config).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
