"""The two messages of remote write, made at run time of the schemas in its specifications.

https://prometheus.io/docs/specs/prw/remote_write_spec/ and https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/
"""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

__all__ = ["First", "Second"]

_TYPES = {
    name: getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{name.upper()}")
    for name in ("string", "double", "int64", "uint64", "uint32", "sint32", "sint64", "int32")
}
_HISTOGRAM = """
    1 uint64 count_int, 2 double count_float, 3 double sum, 4 sint32 schema, 5 double zero_threshold,
    6 uint64 zero_count_int, 7 double zero_count_float, 8 BucketSpan* negative_spans, 9 sint64* negative_deltas,
    10 double* negative_counts, 11 BucketSpan* positive_spans, 12 sint64* positive_deltas, 13 double* positive_counts,
    14 int32 reset_hint, 15 int64 timestamp, 16 double* custom_values
"""
_FIRST = {
    "WriteRequest": "1 TimeSeries* timeseries, 3 MetricMetadata* metadata",
    "TimeSeries": "1 Label* labels, 2 Sample* samples, 3 Exemplar* exemplars, 4 Histogram* histograms",
    "Label": "1 string name, 2 string value",
    "Sample": "1 double value, 2 int64 timestamp",
    "Exemplar": "1 Label* labels, 2 double value, 3 int64 timestamp",
    "MetricMetadata": "1 int32 type, 2 string metric_family_name, 4 string help, 5 string unit",
    "BucketSpan": "1 sint32 offset, 2 uint32 length",
    "Histogram": _HISTOGRAM,
}
_SECOND = {
    "Request": "4 string* symbols, 5 TimeSeries* timeseries",
    "TimeSeries": """1 uint32* labels_refs, 2 Sample* samples, 3 Histogram* histograms, 4 Exemplar* exemplars,
        5 Metadata metadata""",
    "Sample": "1 double value, 2 int64 timestamp, 3 int64 start_timestamp",
    "Exemplar": "1 uint32* labels_refs, 2 double value, 3 int64 timestamp",
    "Metadata": "1 int32 type, 3 uint32 help_ref, 4 uint32 unit_ref",
    "BucketSpan": "1 sint32 offset, 2 uint32 length",
    "Histogram": f"{_HISTOGRAM}, 17 int64 start_timestamp",
}


def _classes(package: str, messages: dict[str, str]) -> dict[str, type[Message]]:
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for title, fields in messages.items():
        message = file.message_type.add(name=title)
        for text in fields.split(","):
            number, kind, name = text.split()
            field = message.field.add(name=name, number=int(number), label=3 if kind.endswith("*") else 1)
            kind = kind.removesuffix("*")
            if kind in _TYPES:
                field.type = _TYPES[kind]
            else:
                field.type, field.type_name = field.TYPE_MESSAGE, f".{package}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages}


First = _classes("prometheus", _FIRST)["WriteRequest"]
Second = _classes("io.prometheus.write.v2", _SECOND)["Request"]
