"""The log at scale: Apache Kafka, through kafka-python's blocking clients on threads of their own."""

from servicekit.bus.kafka.log import KafkaLog
from servicekit.bus.kafka.options import KafkaOptions

__all__ = ["KafkaLog", "KafkaOptions"]
