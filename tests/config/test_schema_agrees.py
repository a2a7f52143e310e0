"""The JSON Schema against the loader: what loads is valid, and typical mistakes are not."""

from __future__ import annotations

import ast
import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel

from sluiceway.component import Kind
from sluiceway.config.decode import decode
from sluiceway.config.expand import Expansion
from sluiceway.config.load import load
from sluiceway.config.parse import parse
from sluiceway.config.printing import resolved
from sluiceway.config.schema import schema
from sluiceway.config.telemetry import TelemetryConfig
from sluiceway.config.tree import Node, plain
from sluiceway.errors import ConfigError
from sluiceway.registry import components, find

ROOT = Path(__file__).parents[2]
EVERY = Path(__file__).with_name("every.yaml")
VALIDATOR = jsonschema.Draft7Validator(schema())
MISTAKES = re.compile(r"has invalid keys: |expected type '")
"""The mistakes that an editor must mark, in the loader's words; others it may leave to the loader."""

OTLP = {"otlp": {}}
Place = tuple[str | int, ...]


def texts() -> Iterator[tuple[str, str]]:
    """Every YAML text in the examples, the pages, the modules and the tests, with where it stands."""
    for path in sorted((ROOT / "examples").glob("*.yaml")):
        yield path.name, path.read_text()
    for path in [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]:
        for number, block in enumerate(re.findall(r"```yaml.*?\n(.*?)```", path.read_text(), re.DOTALL)):
            yield f"{path.relative_to(ROOT)}-{number}", block
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if "pipelines:" in (text := written(node)):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", text


def written(node: ast.AST) -> str:
    """The text of a string in a program, where what is filled in counts as 0, or as nothing if it has its own line."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return re.sub(r"^ *0$", "", "".join(map(written, values)), flags=re.MULTILINE)
        case ast.FormattedValue():
            return "0"
        case _:
            return ""


def read(text: str) -> dict[str, Any] | None:
    """The text as plain data where it is a part of a configuration."""
    try:
        document = plain(parse(text))
    except ConfigError:
        return None
    sections = {*(kind.section for kind in Kind), "service"}
    return document if isinstance(document, dict) and document.keys() & sections else None


def problems(document: object) -> str:
    """What the loader says against a document; nothing when it loads."""
    try:
        load([f"yaml:{json.dumps(document)}"], environ={"WORD": "word"})
    except ConfigError as error:
        return str(error)
    return ""


FOUND = [pytest.param(text, id=name) for name, text in texts() if read(text)]


@pytest.mark.parametrize("text", FOUND)
def test_whatever_stands_anywhere_and_loads_is_valid(text: str) -> None:
    """Examples, blocks in pages and configurations in tests agree with the schema; parts of files too."""
    document = read(text)
    if "service" not in document or not problems(document):
        VALIDATOR.validate(document)


def test_there_is_enough_to_look_at() -> None:
    """The texts were found, and most of them are whole configurations that load."""
    assert sum("service" in read(param.values[0]) and not problems(read(param.values[0])) for param in FOUND) > 12


def test_every_setting_is_looked_at() -> None:
    """The configuration that is changed below has every component that is installed, and is valid itself."""
    written = {kind: {key.partition("/")[0] for key in WHOLE[kind.section]} for kind in Kind}
    assert [c.type for kind in Kind for c in components(kind) if c.type not in written[kind]] == []
    VALIDATOR.validate(plain(parse(EVERY.read_text())))
    VALIDATOR.validate(WHOLE)


def test_paths_as_keys_are_not_judged() -> None:
    """A key with `::` in it may stand anywhere for nested keys, and is left to the loader."""
    document = read("processors::batch::timeout: 1s\nexporters: {debug: {'a::b': 1}, otlp: {'tls::insecure': true}}")
    VALIDATOR.validate({"receivers": {"otlp": {"protocols::grpc": None}}, "exporters::debug::verbosity": "basic"})
    assert not VALIDATOR.is_valid(document)


Document = dict[str, Any]
WHOLE: Document = resolved(load([str(EVERY)]), "unredacted")


def parts() -> Iterator[tuple[str, type[BaseModel], Document, Document]]:
    """Each component of the configuration: its name, its model, its settings and what the schema says of it."""
    for kind in Kind:
        patterns = VALIDATOR.schema["properties"][kind.section]["patternProperties"]
        for id, settings in WHOLE[kind.section].items():
            if "component" not in settings:
                (described,) = (part for pattern, part in patterns.items() if re.search(pattern, id))
                yield f"{kind}:{id}", find(kind, id.partition("/")[0]).config, settings, described
    telemetry = WHOLE["service"]["telemetry"]
    yield "telemetry", TelemetryConfig, telemetry, VALIDATOR.schema["definitions"]["TelemetryConfig"]


def places(value: object, place: Place = ()) -> Iterator[Place]:
    """Every place in a document; of a list the first two entries, of which the others are likenesses."""
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value[:2]):
            yield (*place, key)
            yield from places(part, (*place, key))


def put(document: Document, place: Place, value: object) -> Document:
    """The document with another value at a place."""
    changed: Any = copy.deepcopy(document)
    at(changed, place[:-1])[place[-1]] = value
    return changed


def at(document: object, place: Place) -> Any:
    """The value at a place."""
    for key in place:
        document = document[key]
    return document


def others(value: object) -> Iterator[object]:
    """What might stand in the place of a value, right or wrong."""
    yield from (None, {"zzz": 1}, "${env:SAME}", "some ${env:WORD}")
    match value:
        case bool():
            yield "yes"
        case str():
            yield from (value.upper(), 5)
        case int() | float():
            yield from (str(value), value + 0.5)
        case list():
            yield from ("a, b", [])
        case dict():
            yield from ({**value, "zzz": 1}, {**value, "enabled": False}, {**value, "enabled": "x"})


def tree(value: object) -> Node:
    """The document as the loader has it."""
    if isinstance(value, dict):
        return Node({key: tree(part) for key, part in value.items()})
    return Node([tree(part) for part in value]) if isinstance(value, list) else Node(value)


def decoded(model: type[BaseModel], document: Document, same: object) -> str:
    """What the loader says against settings; nothing when they are right."""
    environ = {"WORD": "word", "SAME": same if isinstance(same, str) else json.dumps(same)}
    try:
        decode(model, Expansion(environ, []).expand(tree(document)))
    except ConfigError as error:
        return str(error)
    return ""


PARTS = [pytest.param(*part, id=name) for name, *part in parts()]


@pytest.mark.parametrize(("model", "settings", "described"), PARTS)
def test_changing_any_value_is_judged_alike(model: type[BaseModel], settings: Document, described: Document) -> None:
    """Whatever one puts in the place of any setting: what loads is valid, and what has a wrong type or key is not."""
    validator = jsonschema.Draft7Validator({**described, "definitions": VALIDATOR.schema["definitions"]})
    wrong = []
    for place in places(settings):
        value = at(settings, place)
        for other in others(value):
            document = put(settings, place, other)
            found, valid = decoded(model, document, value), validator.is_valid(document)
            if (not found and not valid) or (valid and MISTAKES.search(found)):
                wrong.append(("::".join(map(str, place)), other, found))
    assert wrong == []


@pytest.mark.parametrize(
    ("section", "settings"),
    [
        ("exporters", {"otlp": {"tls": {"ca_file": "a", "ca_pem": "b"}}}),
        ("extensions", {"basicauth": {"htpasswd": {}, "client_auth": {}}}),
        ("extensions", {"bearertokenauth": {"token": "a", "tokens": ["b"]}}),
        ("processors", {"tenant": {"from": [{}]}}),
        ("processors", {"tenant": {"from": ["object"]}}),
        ("processors", {"tenant": {"from": [{"header": "a", "attribute": "b"}]}}),
        ("processors", {"attributes": {"actions": [{"key": "a"}]}}),
        ("processors", {"attributes": {"actions": [{"key": "a", "action": "add", "value": 1}]}}),
        ("processors", {"attributes": {"actions": [{"key": "a", "action": "Insert"}]}}),
        ("processors", {"attributes": {"actions": [{"value": "a", "action": "insert"}]}}),
        ("processors", {"attributes": {"actions": [{"action": "delete"}]}}),
        ("processors", {"attributes": {"actions": [{"key": "a", "action": "extract"}]}}),
        ("processors", {"attributes": {"actions": [{"key": "a", "action": "convert"}]}}),
        ("exporters", {"mine": {"component": "./x.py", "timeout": "soon"}}),
        ("exporters", {"debug": {"component": "./x.py", "sending_queue": {"size": 1}}}),
        ("service", {"telemetry": {"metrics": {"readers": [{}]}}}),
        ("service", {"telemetry": {"metrics": {"readers": [{"pull": {}, "periodic": {"exporter": {"console": {}}}}]}}}),
        ("service", {"telemetry": {"logs": {"processors": [{"simple": {"exporter": {}}}]}}}),
    ],
)
def test_rules_between_keys_are_marked(section: str, settings: Document) -> None:
    """What the schema can say of two keys together it says, of a list's entry also that one is missing."""
    assert not VALIDATOR.is_valid({section: settings})


@pytest.mark.parametrize(
    ("section", "settings"),
    [
        ("exporters", {"otlp": {"tls": {"ca_file": "${env:FILE}", "ca_pem": "${env:PEM}"}}}),
        ("exporters", {"otlp": {"tls": {"ca_file": "a", "ca_pem": ""}}}),
        ("processors", {"tenant": {"from": ["subject", "${env:SOURCE}"]}}),
        ("processors", {"attributes": {"component": "./x.py", "any": 1}}),
        ("exporters", {" debug / x ": {"verbosity": "DETAILED"}, "otlp/y": None}),
        (
            "service",
            {"telemetry": {"metrics": {"readers": [{"pull": None, "periodic": {"enabled": False, "exporter": OTLP}}]}}},
        ),
        ("service", {"telemetry": {"logs": {"level": "Warn"}, "resource": {"a": [1], "b": None}}}),
    ],
)
def test_rare_spellings_are_taken(section: str, settings: Document) -> None:
    """References that may be empty, sections that are off, words in any case, spaces in ids, one's own components."""
    VALIDATOR.validate({section: settings})
