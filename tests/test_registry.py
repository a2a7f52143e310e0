"""The registry finds components by module, by entry point and by alias."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sluiceway import registry
from sluiceway.component import Component, Kind
from sluiceway.registry import UnknownTypeError, available, components, find


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Forget what is installed before and after each test."""
    registry._plugins.cache_clear()
    yield
    registry._plugins.cache_clear()


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution with entry points of ours."""
    (tmp_path / "their_package.py").write_text(
        "from dataclasses import replace\n"
        "from sluiceway.connectors.forward import COMPONENT as FORWARD\n"
        "COMPONENT = replace(FORWARD, type='their_thing', aliases=('old_thing',))\n"
        "wrong = 5\n"
    )
    info = tmp_path / "their_package-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[sluiceway.connectors]\ntheir_thing = their_package:COMPONENT\ntheir_module = their_package\n"
        "wrong = their_package:wrong\nbroken = no_such_package:COMPONENT\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()


def test_found_by_module_name() -> None:
    """The name in YAML is the name of the module."""
    component = find(Kind.CONNECTOR, "forward")
    assert (component.type, component.kind) == ("forward", Kind.CONNECTOR)


@pytest.mark.parametrize(
    ("kind", "name", "type"),
    [
        (Kind.EXPORTER, "otlp", "otlp_grpc"),
        (Kind.EXPORTER, "otlphttp", "otlp_http"),
        (Kind.PROCESSOR, "memorylimiter", "memory_limiter"),
        (Kind.RECEIVER, "otlp", "otlp"),
    ],
)
def test_other_spellings(kind: Kind, name: str, type: str) -> None:
    """The Collector's old names and names that differ in underscores are the same component."""
    assert find(kind, name).type == type


def test_another_case_is_another_name() -> None:
    """As everywhere in the Collector's files, upper and lower case are told apart."""
    with pytest.raises(UnknownTypeError):
        find(Kind.PROCESSOR, "Batch")


@pytest.mark.parametrize("kind", list(Kind))
def test_every_component_is_what_its_module_says(kind: Kind) -> None:
    """Each module of a kind ends with a record of that kind, and is called as the component is."""
    listed = list(components(kind))
    assert [component.type for component in listed] == list(available(kind))
    assert {component.kind for component in listed} <= {kind}


def test_unknown_type() -> None:
    """An unknown name tells which are known."""
    with pytest.raises(UnknownTypeError) as caught:
        find(Kind.CONNECTOR, "forwrd")
    assert caught.value.valid == available(Kind.CONNECTOR)
    assert str(caught.value) == 'unknown connector "forwrd"'


def test_listing_imports_nothing() -> None:
    """Listing reads the folder and not the modules."""
    name = "sluiceway.connectors.forward"
    module = sys.modules.pop(name, None)
    try:
        assert "forward" in available(Kind.CONNECTOR)
        assert name not in sys.modules
    finally:
        if module is not None:
            sys.modules[name] = module


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize("name", ["their_thing", "theirthing", "old_thing", "their_module"])
def test_entry_points(name: str) -> None:
    """An installed package adds components, by name, spelling or alias; it may name the record or its module."""
    component = find(Kind.CONNECTOR, name)
    assert isinstance(component, Component)
    assert component.type == "their_thing"


@pytest.mark.usefixtures("plugin")
def test_broken_entry_points(caplog: pytest.LogCaptureFixture) -> None:
    """A package that cannot be imported fails who names it, and is left out of the listing."""
    with pytest.raises(ImportError, match="no_such_package"):
        find(Kind.CONNECTOR, "broken")
    with pytest.raises(ImportError, match="does not end with a COMPONENT record"):
        find(Kind.CONNECTOR, "wrong")
    with caplog.at_level("INFO"):
        assert len(list(components(Kind.CONNECTOR))) == len(available(Kind.CONNECTOR)) - 2
    assert 'connector "broken" is not available' in caplog.text
