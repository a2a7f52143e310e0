"""What `redaction` does, told plainly on protobuf objects: the oracle of its tests."""

from __future__ import annotations

import re2

from sluiceway.otlp import Signal
from sluiceway.otlp.plan import decode_value, encode_value
from sluiceway.otlp.rewriting import value_text
from sluiceway.processors.redaction.rules import SUMMARY_KEYS

CATEGORIES = ("redacted", "masked", "allowed", "ignored")


class Redaction:
    """Redacts resource entries in place by settings as they are in YAML, without hash functions and sanitizers."""

    def __init__(self, **settings):
        self.settings = settings
        self.everywhere = [p for p in self.of("blocked_values") if not re2.search(p, "")]

    def of(self, key):
        return self.settings.get(key, [])

    def entry(self, signal, entry):
        kind = "spans" if signal is Signal.TRACES else signal.value
        self.texts(entry, "schema_url")
        for entity in entry.resource.entity_refs:
            self.texts(entity, "schema_url", "type")
            for keys in (entity.id_keys, entity.description_keys):
                keys[:] = [self.text(key) for key in keys]
        self.attributes(entry.resource.attributes)
        for scope in getattr(entry, f"scope_{kind}"):
            self.texts(scope, "schema_url")
            self.texts(scope.scope, "name", "version")
            self.attributes(scope.scope.attributes)
            for child in getattr(scope, {"spans": "spans", "metrics": "metrics", "logs": "log_records"}[kind]):
                getattr(self, kind)(child)

    def spans(self, span):
        self.texts(span, "name", "trace_state")
        self.texts(span.status, "message")
        self.attributes(span.attributes)
        for event in span.events:
            self.texts(event, "name")
            self.attributes(event.attributes)
        for link in span.links:
            self.texts(link, "trace_state")
            self.attributes(link.attributes)

    def logs(self, record):
        self.texts(record, "severity_text", "event_name")
        notes = self.list(record.attributes)
        body = {category: [] for category in CATEGORIES}
        self.body(record.body, body)
        self.summary(record.attributes, notes, "")
        self.summary(record.attributes, body, "body.")

    def metrics(self, metric):
        self.texts(metric, "name", "description", "unit")
        self.attributes(metric.metadata)
        kind = metric.WhichOneof("data")
        for point in getattr(metric, kind).data_points if kind else ():
            self.attributes(point.attributes)
            for exemplar in getattr(point, "exemplars", ()):
                self.attributes(exemplar.filtered_attributes)

    # ---- texts

    def is_allowed(self, text):
        return any(re2.search(pattern, text) for pattern in self.of("allowed_values"))

    def text(self, text):
        return text if self.is_allowed(text) else self.masked(text, self.everywhere)

    def masked(self, text, patterns):
        for pattern in patterns:
            text = replaced(pattern, text)
        return text

    def texts(self, message, *fields):
        for field in fields:
            if getattr(message, field):
                setattr(message, field, self.text(getattr(message, field)))

    # ---- attributes

    def attributes(self, attributes):
        self.summary(attributes, self.list(attributes), "")

    def list(self, attributes):
        notes = {category: [] for category in CATEGORIES}
        self.entries(attributes, [], notes, in_body=False)
        return notes

    def entries(self, entries, way, notes, *, in_body):
        kept = [
            type(kv).FromString(kv.SerializeToString())
            for kv in entries
            if self.keeps(kv, [*way, kv.key], notes, in_body)
        ]
        if kept != list(entries):
            del entries[:]
            entries.extend(kept)

    def keeps(self, kv, way, notes, in_body):
        key, settings = kv.key, self.settings
        if key in self.of("ignored_keys") or any(re2.search(p, key) for p in self.of("ignored_key_patterns")):
            notes["ignored"].append(way)
            return True
        if not settings.get("allow_all_keys") and key not in (*self.of("allowed_keys"), *SUMMARY_KEYS):
            notes["redacted"].append(way)
            return False
        if any(re2.search(pattern, key) for pattern in self.of("blocked_key_patterns")):
            self.whole(kv.value, way, notes, in_body)
        else:
            self.value(kv.value, way, notes, in_body=in_body)
        if settings.get("allow_all_keys") and key:
            kv.key = self.masked(key, self.everywhere)
        return True

    def whole(self, value, way, notes, in_body):
        found = decode_value(value.SerializeToString())
        text = found if isinstance(found, str) else ""
        if self.settings.get("redact_all_types") and not in_body:
            text = value_text(found)
        if not in_body and self.is_allowed(text):
            notes["allowed"].append(way)
            return
        notes["masked"].append(way)
        value.Clear()
        value.string_value = "\n".join("****" for _ in text.split("\n"))

    def value(self, value, way, notes, *, in_body):
        kind = value.WhichOneof("value")
        if kind == "kvlist_value":
            self.entries(value.kvlist_value.values, way, notes, in_body=in_body)
        elif kind == "array_value":
            for index, element in enumerate(value.array_value.values):
                self.value(element, [*way, f"[{index}]"], notes, in_body=in_body)
        elif kind is not None:
            self.scalar(value, kind, way, notes, in_body)

    def scalar(self, value, kind, way, notes, in_body):
        found = getattr(value, kind)
        all_types = (in_body or self.settings.get("redact_all_types")) and kind != "string_value_strindex"
        texts = [found] if kind == "string_value" else [value_text(found) if all_types else ""]
        if kind == "bytes_value" and all_types:
            texts.append(found.decode(errors="replace"))
        for text in texts:
            if self.is_allowed(text):
                if way or not in_body:
                    notes["allowed"].append(way)
                return
            masked = self.masked(text, self.of("blocked_values"))
            if masked != text:
                notes["masked"].append(way or ["body"])
                value.ClearField(kind)
                value.string_value = masked
                return

    def body(self, body, notes):
        self.value(body, [], notes, in_body=True)

    # ---- the summary

    def summary(self, attributes, notes, prefix):
        level = self.settings.get("summary", "")
        if level not in ("info", "debug"):
            return
        for category in CATEGORIES:
            ways = notes[category]
            if ways and level == "debug" and category != "ignored":
                names = [self.text(".".join(way)) for way in ways]
                key = f"redaction.{prefix}{category}.keys"
                before = next((kv.value for kv in attributes if kv.key == key), None)
                if before is not None and before.string_value:
                    names += before.string_value.split(",")
                put(attributes, key, ",".join(sorted(names, key=str.encode)))
            if ways:
                key = f"redaction.{prefix}{category}.count"
                before = next((kv.value for kv in attributes if kv.key == key), None)
                put(attributes, key, len(ways) + (before.int_value if before is not None else 0))


def put(attributes, key, value):
    """Set the first attribute of the name, or a new one."""
    found = next((kv for kv in attributes if kv.key == key), None)
    if found is None:
        found = attributes.add(key=key)
    found.value.Clear()
    found.value.MergeFromString(encode_value(value))


def replaced(pattern, text):
    """Each match replaced; an empty one right behind another match does not count."""
    out, copied, behind, place = "", 0, -1, 0
    while place <= len(text):
        match = re2.compile(pattern).search(text, place)
        if match is None:
            break
        start, end = match.span()
        if end > behind:
            out += text[copied:start] + "****"
            copied = behind = end
        place = end if end > place else place + 1
    return out + text[copied:]
