"""The layout of the project: what may import what, and where tests stand."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "sluiceway"
COMPONENTS = ("receivers", "processors", "exporters", "connectors", "extensions")
MAY_IMPORT = {
    **{kind: {"component", "config", "otlp", "errors", "telemetry"} for kind in COMPONENTS},
    "pipelines": {"component", "config", "otlp", "errors", "telemetry"},
    "config": {"component", "otlp", "errors", "telemetry", "registry", "plain"},
    "otlp": {"errors"},
    "telemetry": {"config", "component", "errors", "otlp"},
}


def imports(module: Path) -> Iterator[str]:
    """The top-level names of our own package that a module imports, inside functions too, but not for types alone."""
    tree = ast.parse(module.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body.clear()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("sluiceway."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.ImportFrom) and node.module == "sluiceway":
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("folder", sorted(MAY_IMPORT))
def test_imports_run_one_way(folder: str) -> None:
    """A folder imports only what DESIGN lets it import, and a component never another kind of component."""
    wrong = {
        (str(module.relative_to(ROOT)), name)
        for module in (PACKAGE / folder).rglob("*.py")
        for name in imports(module)
        if name not in MAY_IMPORT[folder] | {folder, "__version__"}
    }
    assert not wrong


def test_every_component_has_a_test_of_its_name() -> None:
    """A component's test stands in the folder that mirrors its own."""
    missing = [
        f"{kind}/{path.stem}"
        for kind in COMPONENTS
        for path in (PACKAGE / kind).iterdir()
        if path.stem != "__init__" and not path.name.startswith("_") and path.suffix in ("", ".py")
        if not (ROOT / "tests" / kind / f"test_{path.stem}.py").exists()
        and not (ROOT / "tests" / kind / path.stem).is_dir()
    ]
    assert not missing


def test_no_module_is_a_drawer() -> None:
    """Nothing is called utils, common, helpers, base, manager or core."""
    drawers = {"utils", "util", "common", "helpers", "helper", "base", "manager", "core", "misc"}
    assert not [path for path in PACKAGE.rglob("*") if path.stem in drawers]
