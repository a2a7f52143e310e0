"""What the scenario `python` calls: one attribute a span, in Sluiceway (`touch`) and in Rotel (`process_spans`)."""


def touch(batch):
    for span in batch.spans:
        span.attributes["team"] = "payments"


def process_spans(resource_spans):
    from rotel_sdk.open_telemetry.common.v1 import KeyValue  # a module inside Rotel's binary

    for scope_spans in resource_spans.scope_spans:
        for span in scope_spans.spans:
            span.attributes.append(KeyValue.new_string_value("team", "payments"))
