"""The text of everything the broker reads: its properties, its logging, its command line. Pure.

Paths in the properties are relative to the working directory of the JVM, which is the data directory: no escaping of
spaces, commas and umlauts, and crash reports of the JVM land there too.
"""

import base64
from collections.abc import Sequence
from pathlib import Path

from connectors.local_broker.jars import KafkaRuntime

HOST = "127.0.0.1"
LOGS_DIR = "data"

_PROPERTIES = """\
# Written by Millrace at every start; changes are lost.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
log.dirs={logs_dir}
num.partitions=8
auto.create.topics.enable=false
message.max.bytes=10485760

# one node: nothing to replicate, nobody to wait for
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000

# quick restart: the controller waits for the session of a dead incarnation to end
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
controller.quorum.election.timeout.ms=200
controller.quorum.election.backoff.max.ms=100
controller.quorum.fetch.timeout.ms=1000

# many partitions on a small disk: an index file is set aside at its full size for each of them (default 10 MB);
# 128 KiB index 43 MB of log, more than a segment holds. A segment must hold the largest message.
log.segment.bytes=16777216
log.index.size.max.bytes=131072
offsets.topic.segment.bytes=16777216
transaction.state.log.segment.bytes=16777216
file.delete.delay.ms=1000

# small compacted topics: the default buffer alone is half of our heap; 8 MiB hold 300,000 keys. The active segment
# is never compacted, so it must not stay active for a week.
log.cleaner.dedupe.buffer.size=8388608
log.cleaner.backoff.ms=5000
log.cleaner.min.cleanable.ratio=0.3
log.roll.hours=1

# a laptop, not a server
num.network.threads=2
num.io.threads=4
background.threads=4
"""

LOG4J2 = """\
Configuration:
  status: ERROR
  shutdownHook: disable
  Appenders:
    Console:
      name: console
      PatternLayout:
        pattern: "%d{ISO8601} %p %m (%c{1})%n%throwable"
  Loggers:
    Root:
      level: WARN
      AppenderRef:
        ref: console
"""


def properties(port: int, controller_port: int) -> str:
    """The text of server.properties."""
    return _PROPERTIES.format(host=HOST, port=port, controller_port=controller_port, logs_dir=LOGS_DIR)


def cluster_id(random_16_bytes: bytes) -> str:
    """A Kafka cluster id: 22 characters of base64url.

    The top bit is cleared, so the first character is a letter: `format` takes a leading "-" for an option and fails.
    """
    raw = bytes([random_16_bytes[0] & 0x7F]) + random_16_bytes[1:16]
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def format_command(runtime: KafkaRuntime, properties_file: Path, cluster: str) -> list[str]:
    format_args = ["format", "-t", cluster, "-c", str(properties_file)]
    return [*_java(runtime), "-cp", runtime.classpath, "kafka.tools.StorageTool", *format_args]


def broker_command(runtime: KafkaRuntime, properties_file: Path, jvm_options: Sequence[str] = ()) -> list[str]:
    """The command of the broker; the properties file is named absolutely, so that `ps` tells whose broker it is."""
    return [
        *_java(runtime),
        "-Xms64m",
        "-XX:+ExitOnOutOfMemoryError",  # a broker that limps is worse than one that is started again
        "-Dlog4j2.configurationFile=log4j2.yaml",
        *jvm_options,
        "-cp",
        runtime.classpath,
        "kafka.Kafka",
        str(properties_file),
    ]


def _java(runtime: KafkaRuntime) -> list[str]:
    """C1 only: 30 MB less and a quicker start than with the optimising compiler, for a broker that idles mostly."""
    jvm = [str(runtime.java), "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]
    quiet = ["-Xlog:disable", "-Xlog:all=error:stderr", "--sun-misc-unsafe-memory-access=allow"]  # nothing to act on
    cache = [f"-XX:AOTCache={runtime.aot_cache}"] if runtime.aot_cache.is_file() else []
    return [*jvm, *quiet, *cache]
