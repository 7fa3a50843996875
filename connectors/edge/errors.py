"""What can go wrong with the model at the edge; every message says what to do.

```
EdgeError
├── ExtraMissing      the model or its runtime is not installed
├── RuntimeUnusable   the runtime does not load on this machine
├── PortBusy          somebody else listens there
└── EdgeFailed        the runtime refused to start
```
"""


class EdgeError(Exception):
    """The model cannot be served; the text is meant for the person at the terminal."""


class ExtraMissing(EdgeError):
    def __init__(self) -> None:
        super().__init__("the model at the edge is not installed: run `make edge`")


class RuntimeUnusable(EdgeError):
    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the runtime of the model does not load on this machine: {reason}; on Linux it needs the system's libgomp"
        )


class PortBusy(EdgeError):
    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is already in use: stop that program, or choose another --port")


class EdgeFailed(EdgeError):
    def __init__(self, reason: str) -> None:
        super().__init__(f"the runtime of the model did not start: {reason}")
