"""The layout of the project: what may import what, and where tests stand."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "sluiceway"
COMPONENTS = ("receivers", "processors", "exporters", "connectors", "extensions")
LOADING = {
    "decode", "download", "expand", "identity", "load", "model", "parse", "printing", "scalars", "schema", "service",
    "sources", "tree",
}  # fmt: skip
"""What of `config` makes a whole configuration of YAML and knows components; the rest are types and settings."""
ORDER = (
    "errors", "extras", "caller", "clock", "escape", "segments", "sql", "otlp", "ottl", "personal", "config", "keys",
    "circuit_breaker", "telemetry", "component", "kafka", "prometheus", "onward", "parts", "received", "stanza",
    "scraping", "unfinished", "ml", "registry", "plain",
    "config loading", "pipelines", *COMPONENTS, "service", "testing", "generate", "cli", "__main__",
)  # fmt: skip
"""Each part imports only parts that stand before it."""
CONTRACT = {
    "caller", "clock", "component", "config", "errors", "escape", "extras", "kafka", "keys", "ml", "onward", "otlp",
    "ottl", "parts", "personal", "prometheus", "received", "scraping", "segments", "sql", "stanza", "telemetry",
    "unfinished",
}  # fmt: skip
MAY_IMPORT = {
    **dict.fromkeys(COMPONENTS, CONTRACT),
    "processors": CONTRACT | {"circuit_breaker"},
    "pipelines": CONTRACT | {"circuit_breaker", "config loading"},
    "circuit_breaker": {"config", "errors"},
    "config": {"clock", "errors", "otlp"},
    "otlp": {"errors", "escape"},
    "ottl": {"errors", "otlp"},
    "personal": {"errors", "otlp"},
    "segments": set(),
    "prometheus": {"errors", "otlp"},
    "telemetry": {"clock", "config", "errors", "escape"},
    "generate": {"clock", "errors", "otlp"},
}
"""Where the order would allow more than is meant."""


def part_of(module: str) -> str:
    """The part that a module stands in: the first name beneath `sluiceway`, where `config` is two."""
    _, part, *rest = module.split(".")
    return "config loading" if part == "config" and set(rest[:1]) & LOADING else part


def imports(tree: ast.Module) -> Iterator[str]:
    """The parts that a module imports, inside functions too, but not for types alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body.clear()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in ("sluiceway", "sluiceway.config"):
            yield from (part_of(f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("sluiceway."):
            yield part_of(node.module)
        elif isinstance(node, ast.Import):
            yield from (part_of(alias.name) for alias in node.names if alias.name.startswith("sluiceway."))


def imported() -> dict[str, set[str]]:
    """What each part imports of the others."""
    parts: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if module != "sluiceway.__init__":
            part = part_of(module)
            parts.setdefault(part, set()).update(set(imports(ast.parse(path.read_text()))) - {part, "__version__"})
    return parts


@pytest.mark.parametrize("text", [
    "from sluiceway.otlp import Batch", "from sluiceway import otlp", "import sluiceway.otlp.batch as b",
    "def f():\n    import sluiceway.otlp",
])  # fmt: skip
def test_imports_are_seen(text: str) -> None:
    """However a part is imported, these tests see it; an import for types alone does not count."""
    assert list(imports(ast.parse(text))) == ["otlp"]
    assert list(imports(ast.parse("if TYPE_CHECKING:\n    import sluiceway.otlp"))) == []


def test_imports_run_one_way() -> None:
    """There is an order of all parts in which each imports only what stands before it, so that there is no circle."""
    parts = imported()
    later = {part: parts[part] - set(ORDER[: ORDER.index(part)]) for part in parts}
    assert {part: names for part, names in later.items() if names} == {}


def test_parts_import_only_what_they_are_meant_to() -> None:
    """A component knows the contract and no other kind of component, and the data knows nothing but errors."""
    parts = imported()
    assert {part: parts[part] - allowed for part, allowed in MAY_IMPORT.items() if parts[part] - allowed} == {}


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
