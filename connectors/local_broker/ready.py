"""When the broker really works: listening is not ready.

Right after a first start group requests fail for about a second (`__consumer_offsets` is being created), and after a
restart partitions have no leader for some 100 ms. So the test is what a client will do:

1. the port accepts a connection;
2. a group coordinator answers, which on a first start also shows that a topic can be created;
3. every partition of every topic has a leader.
"""

import asyncio

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from connectors.local_broker.config import HOST

_POLL_S = 0.05
_REQUEST_TIMEOUT_MS = 5000
_PROBE_GROUP = "millrace-readiness"


async def until_ready(port: int) -> None:
    """Returns when the broker on this port works; bound it in time from outside."""
    await _until_listening(port)
    while True:
        if await _works(port):
            return
        await asyncio.sleep(_POLL_S)


async def _until_listening(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            await asyncio.sleep(_POLL_S)
        else:
            writer.close()
            await writer.wait_closed()
            return


async def _works(port: int) -> bool:
    admin = AIOKafkaAdminClient(bootstrap_servers=f"{HOST}:{port}", request_timeout_ms=_REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
        await admin.describe_consumer_groups([_PROBE_GROUP])
        topics = await admin.describe_topics()
        return all(p["leader"] >= 0 and p["error_code"] == 0 for topic in topics for p in topic["partitions"])
    except (KafkaError, OSError):
        return False
    finally:
        await admin.close()
