"""A proxy that holds every request for a while: `python -m tests.slow_proxy PORT TARGET SECONDS`.

What a tracking server far away costs, on one machine.
"""

from __future__ import annotations

import asyncio
import sys


async def main(port: int, target: int, seconds: float) -> None:
    """Pass bytes on, each request's after a pause, until killed."""

    async def pump(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pause: float
    ) -> None:
        try:
            while data := await reader.read(1 << 20):
                await asyncio.sleep(pause)
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(pump(reader, forth, seconds), pump(back, writer, 0.0))

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
