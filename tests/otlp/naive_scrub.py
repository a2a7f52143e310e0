"""What a scrub does, told plainly on protobuf objects, place by place: the oracle of the scrubbing walk."""

from __future__ import annotations

from sluiceway.otlp import Signal
from sluiceway.otlp.plan import decode_value, encode_value

DATA = ("gauge", "sum", "histogram", "exponential_histogram", "summary")
SCALARS = ("string_value", "bool_value", "int_value", "double_value", "bytes_value")


def scrub(signal, entry, judge, where):
    """Scrub one resource entry in place, as `AskingScrubber(judge, where)` would."""
    _Scrub(judge, where).entry(signal, entry)


class _Scrub:
    def __init__(self, judge, where):
        self.judge = judge
        self.where = where

    def wants(self, place):
        return place in self.where or "all" in self.where

    def entry(self, signal, entry):
        kind = "spans" if signal is Signal.TRACES else signal.value
        self.texts("schema_url", entry, "schema_url")
        self.resource(entry.resource)
        for scope in getattr(entry, f"scope_{kind}"):
            self.texts("schema_url", scope, "schema_url")
            self.texts("scope", scope.scope, "name", "version")
            self.attributes("scope", scope.scope.attributes)
            for child in getattr(scope, {"spans": "spans", "metrics": "metrics", "logs": "log_records"}[kind]):
                getattr(self, kind)(child)

    def resource(self, resource):
        self.attributes("resource", resource.attributes)
        for entity in resource.entity_refs:
            self.texts("resource", entity, "schema_url", "type")
            for keys in (entity.id_keys, entity.description_keys):
                if self.wants("resource"):
                    keys[:] = [key and self.judge.text("resource", key) for key in keys]

    def spans(self, span):
        self.texts("name", span, "name")
        self.texts("trace_state", span, "trace_state")
        self.texts("status", span.status, "message")
        self.attributes("attributes", span.attributes)
        for event in span.events:
            self.texts("events", event, "name")
            self.attributes("events", event.attributes)
        for link in span.links:
            self.texts("trace_state", link, "trace_state")
            self.attributes("links", link.attributes)

    def logs(self, record):
        self.texts("severity", record, "severity_text")
        self.texts("event_name", record, "event_name")
        self.attributes("attributes", record.attributes)
        if (self.wants("body") or self.wants("keys")) and not self.value("body", "", record.body):
            record.body.Clear()

    def metrics(self, metric):
        self.texts("metric", metric, "name", "description", "unit")
        self.attributes("metadata", metric.metadata)
        kind = metric.WhichOneof("data")
        for point in getattr(metric, kind).data_points if kind else ():
            self.attributes("attributes", point.attributes)
            for exemplar in getattr(point, "exemplars", ()):
                self.attributes("exemplars", exemplar.filtered_attributes)

    def texts(self, place, message, *fields):
        for field in fields:
            if self.wants(place) and getattr(message, field):
                setattr(message, field, self.judge.text(place, getattr(message, field)))

    def attributes(self, place, attributes):
        """A list of attributes, or the entries of a map."""
        kept = [type(kv).FromString(kv.SerializeToString()) for kv in attributes if self.attribute(place, kv)]
        if kept != list(attributes):
            del attributes[:]
            attributes.extend(kept)

    def attribute(self, place, kv):
        verdict = self.judge.key(place, kv.key) if self.wants(place) else "look"
        if verdict == "drop":
            return False
        if verdict == "look" and not self.value(place, kv.key, kv.value):
            return False
        if verdict == "whole" and not self.whole(place, kv):
            return False
        if self.wants("keys") and kv.key:
            kv.key = self.judge.rename(place, kv.key)
        return True

    def whole(self, place, kv):
        old = decode_value(kv.value.SerializeToString())
        new = self.judge.whole(place, kv.key, old)
        if new is not None and new is not old:
            kv.value.Clear()
            kv.value.MergeFromString(encode_value(new))
            kv.value.SetInParent()
        return new is not None

    def value(self, place, key, value):
        kind = value.WhichOneof("value")
        if kind == "array_value":
            kept = [
                type(v).FromString(v.SerializeToString()) for v in value.array_value.values if self.value(place, key, v)
            ]
            del value.array_value.values[:]
            value.array_value.values.extend(kept)
        elif kind == "kvlist_value":
            self.attributes(place, value.kvlist_value.values)
        elif kind in SCALARS and self.wants(place):
            old = getattr(value, kind)
            new = self.judge.value(place, key, old)
            if new is None:
                return False
            if new is not old:
                value.ClearField(kind)
                value.MergeFromString(encode_value(new))
        return True
