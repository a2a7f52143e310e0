"""Editors get a JSON Schema (draft-07) that takes what the loader takes."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from sluiceway.component import Kind
from sluiceway.config.load import load
from sluiceway.config.printing import resolved
from sluiceway.config.schema import schema
from sluiceway.registry import components

GOOD = Path(__file__).with_name("good.yaml")


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft7Validator:
    """A validator of the schema, which is itself valid."""
    written = schema()
    jsonschema.Draft7Validator.check_schema(written)
    return jsonschema.Draft7Validator(written)


def good() -> dict[str, Any]:
    """A configuration that uses every way of writing values."""
    parsed: dict[str, Any] = yaml.safe_load(GOOD.read_text())
    return parsed


def test_takes_what_the_loader_takes(validator: jsonschema.Draft7Validator) -> None:
    """A file that loads is valid, and so is what is printed of it."""
    validator.validate(good())
    validator.validate(resolved(load([str(GOOD)], environ={"PORT": "1"})))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("exporters", "debug", "verbosty"), "basic"),
        (("exporters", "nope"), {}),
        (("extensions", "nope"), {"component": "./x.py"}),
        (("processors", "batch", "timeout"), "soon"),
        (("processors", "batch", "send_batch_size"), "5"),
        (("receivers", "otlp", "protocols", "grpc"), {"enabled": "no"}),
        (("service", "pipelines", "trace"), {}),
        (("service", "pipelines", "traces", "exporter"), []),
        (("service", "telemetry", "logs", "level"), 5),
        (("recievers",), {}),
    ],
)
def test_refuses_what_the_loader_refuses(
    validator: jsonschema.Draft7Validator, path: tuple[str, ...], value: object
) -> None:
    """Unknown keys and wrong types are marked in the editor."""
    wrong = good()
    *parents, last = path
    place = wrong
    for key in parents:
        place[key] = place = place.get(key) or {}
    place[last] = value
    assert not validator.is_valid(wrong)


def test_every_component_is_described() -> None:
    """Each installed component has an entry, and each of its settings a description."""
    written = schema()
    for kind in Kind:
        patterns = written["properties"][kind.section]["patternProperties"]
        assert len(patterns) == len(list(components(kind)))
    for definition in written["definitions"].values():
        for name, part in definition.get("properties", {}).items():
            assert "description" in part or "$ref" in str(part), (definition.get("title"), name)


def test_durations_have_text_defaults() -> None:
    """Defaults are shown as they are written."""
    assert schema()["definitions"]["LogSampling"]["properties"]["tick"]["default"] == "10s"
