"""A real Apache Kafka on this machine with nothing but Python: `LocalBroker(data_dir).start()`."""

from connectors.local_broker.aot import train
from connectors.local_broker.errors import (
    BrokerError,
    BrokerFailed,
    DataDirInUse,
    DataDirUnusable,
    ExtraMissing,
    JarCorrupt,
    JvmUnusable,
    KafkaUnavailable,
    PortBusy,
)
from connectors.local_broker.jars import KafkaRuntime, Progress, ensure_kafka
from connectors.local_broker.kafka import LocalBroker

__all__ = [
    "BrokerError",
    "BrokerFailed",
    "DataDirInUse",
    "DataDirUnusable",
    "ExtraMissing",
    "JarCorrupt",
    "JvmUnusable",
    "KafkaRuntime",
    "KafkaUnavailable",
    "LocalBroker",
    "PortBusy",
    "Progress",
    "ensure_kafka",
    "train",
]
