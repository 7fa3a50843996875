"""`millrace edge`: the small real model, in the foreground."""

import os
import signal
import sys
import threading
from typing import Annotated, NoReturn

import typer

from pipeline.catalog_file import EDGE_PORT
from pipeline.cli.options import print_json


def edge(port: Annotated[int, typer.Option(help="Of its OpenAI-compatible API, on the loopback.")] = EDGE_PORT) -> None:
    """A small open chat model on this machine's CPU, until Ctrl-C; needs the extra `edge` (make edge)."""
    from connectors.edge import MODEL, EdgeError, serve

    stop = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: stop.set())
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        _server = serve(port)  # kept: it works as long as it lives
    except EdgeError as error:
        print_json({"event": "exit", "stage": "edge", "reason": type(error).__name__, "detail": str(error)})
        raise typer.Exit(1) from None
    print_json({"event": "ready", "stage": "edge", "pid": os.getpid(), "port": port, "model": MODEL})
    stop.wait()
    _leave()


def _leave() -> NoReturn:
    """Without the server's destructor, which may wait for its callers for ever."""
    sys.stdout.flush()
    os._exit(0)
