"""`python -m pipeline.cli.benching.provider`: a simulated provider that never refuses, until its stdin ends."""

import asyncio
import sys

from connectors.simulator import Allowance, serve
from pipeline.cli.options import print_json

_UNLIMITED = Allowance(10**9, 10**12)


async def _serve() -> None:
    simulator = await serve(0, seed=1, speed=0, allowance=_UNLIMITED)
    print_json({"event": "ready", "base_url": simulator.base_url})
    await asyncio.to_thread(sys.stdin.read)  # the pipe ends with whoever holds it
    await simulator.close()


if __name__ == "__main__":
    asyncio.run(_serve())
