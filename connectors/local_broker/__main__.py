"""`python -m connectors.local_broker [CACHE_DIR]`: fetches Kafka and makes its starts quicker (`aot.py`), then ends."""

import asyncio
import sys
from pathlib import Path

from connectors.local_broker import train

if __name__ == "__main__":
    asyncio.run(train(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
