"""librdkafka without Python's client in front: what that does not let through, such as names that are not UTF-8."""

from __future__ import annotations

import ctypes
from importlib.metadata import files

__all__ = ["produce_with_header"]

_END, _TOPIC, _VALUE, _FLAGS, _HEADER = 0, 1, 4, 7, 9
_COPY = 2
_PATIENCE = 60_000
"""Milliseconds."""


def produce_with_header(bootstrap: str, topic: str, value: bytes, name: bytes) -> None:
    """Write a message with one header, and wait until it is written. The topic must be there."""
    library = _library()
    configuration = ctypes.c_void_p(library.rd_kafka_conf_new())
    assert library.rd_kafka_conf_set(configuration, b"bootstrap.servers", bootstrap.encode(), None, 0) == 0
    producer = ctypes.c_void_p(library.rd_kafka_new(0, configuration, None, 0))
    assert producer
    size = ctypes.c_size_t
    failure = library.rd_kafka_producev(
        producer,
        _TOPIC, ctypes.c_char_p(topic.encode()),
        _VALUE, ctypes.c_char_p(value), size(len(value)),
        _FLAGS, _COPY,
        _HEADER, ctypes.c_char_p(name), ctypes.c_char_p(b"x"), size(1),
        _END,
    )  # fmt: skip
    assert failure == 0
    assert library.rd_kafka_flush(producer, _PATIENCE) == 0
    library.rd_kafka_destroy(producer)


def _library() -> ctypes.CDLL:
    """The one that Python's client has loaded."""
    path = next(file.locate() for file in files("confluent-kafka") or () if file.name.startswith("librdkafka-"))
    library = ctypes.CDLL(str(path))
    library.rd_kafka_conf_new.restype = library.rd_kafka_new.restype = ctypes.c_void_p
    return library
