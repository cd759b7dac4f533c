"""A Modbus TCP device of 16 coils (pymodbus' simulator) as a process: PORT."""

import asyncio
import sys

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice


async def main() -> None:
    coils = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
    registers = [SimData(0, count=16, values=0, datatype=DataType.REGISTERS)]
    device = SimDevice(id=1, simdata=(coils, coils, registers, registers))
    server = ModbusTcpServer(device, address=("127.0.0.1", int(sys.argv[1])))
    await server.serve_forever(background=True)
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
