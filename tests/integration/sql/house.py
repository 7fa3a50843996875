"""The stage `sql` in a process of its own, as `millrace run sql` starts it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import clickhouse_connect
import httpx

WRITER = {"X-ClickHouse-User": "default"}
READER = {"X-ClickHouse-User": "reader"}


class House:
    """A running endpoint; without Kafka, without anything else."""

    def __init__(self, data_dir: Path, port: int = 0, **environment: str) -> None:
        self.data_dir = data_dir
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
        # Kept: each new client of httpx reads all certificates of the machine.
        self.http = httpx.Client(timeout=60, trust_env=False)
        self.log = (data_dir.parent / f"{data_dir.name}.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "run", "sql", "--port", str(port), "--data-dir", str(data_dir)],
            stdout=subprocess.PIPE, stderr=self.log, text=True, env=clean | environment, start_new_session=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.said: dict[str, Any] = json.loads(line) if line else {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.said['port']}/"

    @property
    def admin(self) -> str:
        return f"http://127.0.0.1:{self.said['admin_port']}"

    def client(self, **options: Any) -> Any:
        """As a program of ours connects."""
        return clickhouse_connect.get_client(
            host="127.0.0.1", port=self.said["port"], **{"username": "default", **options}
        )

    def ask(self, sql: str | bytes, **more: Any) -> httpx.Response:
        """One POST; as the writer unless `headers` say otherwise."""
        headers = more.pop("headers", WRITER)
        return self.http.post(self.url, content=sql, headers=headers, **more)

    def rows(self, sql: str, **more: Any) -> str:
        answer = self.ask(sql, **more)
        assert answer.status_code == 200, answer.text
        return answer.text

    def rss_bytes(self) -> int:
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def end(self, signum: int = signal.SIGTERM) -> int:
        """Its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signum)
        return self.ended()

    def ended(self) -> int:
        """Its exit code, when it ends by itself."""
        code = self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.log.close()
        self.http.close()
        return code
