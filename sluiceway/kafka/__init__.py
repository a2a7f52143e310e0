"""What the receiver and the exporter of Kafka share: settings, their translation for librdkafka, what it says."""

from sluiceway.kafka.client import KafkaConnection
from sluiceway.kafka.failures import delivery_error, explain
from sluiceway.kafka.librdkafka import configuration
from sluiceway.kafka.settings import KafkaClient
from sluiceway.kafka.topics import is_topic

__all__ = ["KafkaClient", "KafkaConnection", "configuration", "delivery_error", "explain", "is_topic"]
