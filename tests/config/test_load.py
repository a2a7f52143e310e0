"""Whole configurations: sources, merging, components, references, and every mistake at once."""

import contextlib
import logging
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluiceway.config.load import load
from sluiceway.config.model import Config, Mark
from sluiceway.errors import ConfigError, Problem

MINIMAL = """
receivers: {otlp: {protocols: {grpc: }}}
processors: {batch: , batch/2: {timeout: 1s}}
exporters: {debug: , debug/b: }
connectors: {forward: }
extensions: {health_check: }
service:
  extensions: [health_check]
  pipelines:
    traces: {receivers: [otlp], processors: [batch, batch/2], exporters: [debug, forward]}
    traces/2: {receivers: [forward], exporters: [debug/b]}
"""


def read(*texts: str, sets: tuple[str, ...] = (), **environ: str) -> Config:
    """Load texts on top of a configuration that works."""
    return load([f"yaml:{MINIMAL}", *(f"yaml:{text}" for text in texts)], sets, environ=environ)


def problems(*texts: str, base: str = MINIMAL, **environ: str) -> list[Problem]:
    """Load texts that are wrong, and say what is."""
    with pytest.raises(ConfigError) as caught:
        load([f"yaml:{text}" for text in (base, *texts)], environ=environ)
    return list(caught.value.problems)


def test_whole() -> None:
    """A configuration becomes components with settings, and pipelines of names."""
    config = read()
    assert list(config.receivers) == ["otlp"]
    assert config.processors["batch/2"].settings.timeout == 1.0
    assert config.processors["batch/2"].component.type == "batch"
    assert config.service_extensions == ("health_check",)
    assert config.pipelines["traces"].processors == ("batch", "batch/2")
    assert config.pipelines["traces"].exporters == ("debug", "forward")
    assert config.resolved["service"]["extensions"] == ["health_check"]


def test_marks_are_those_of_the_file(tmp_path: Path) -> None:
    """A component knows where it was configured, and is equal to the same one elsewhere."""
    (tmp_path / "a.yaml").write_text(MINIMAL)
    config = load([str(tmp_path / "a.yaml")])
    assert config.receivers["otlp"].mark == Mark(str(tmp_path / "a.yaml"), 2, 13)
    assert config.pipelines["traces/2"].mark == Mark(str(tmp_path / "a.yaml"), 11, 5)
    assert config == load([f"yaml:\n\n{MINIMAL}"])


def test_files_are_known(tmp_path: Path) -> None:
    """A configuration knows every file it was read from: YAML, references, and the Python of its own components."""
    (tmp_path / "name").write_text("sluice")
    (tmp_path / "mine.py").write_text("class Mine:\n    def consume(self, batch): ...\n")
    file = tmp_path / "config.yaml"
    file.write_text(
        f"exporters: {{mine: {{component: ./mine.py}}}}\nx-name: ${{file:{tmp_path}/none}}\n"
        f"service: {{telemetry: {{logs: {{initial_fields: {{a: '${{file:{tmp_path}/name}}'}}}}}}}}\n"
    )
    config = load([f"yaml:{MINIMAL}", str(file)])
    assert config.files == (file, tmp_path / "name", tmp_path / "mine.py")
    assert read().files == ()


def test_later_sources_win() -> None:
    """Maps merge, lists are replaced, `--set` wins over all."""
    config = read(
        "processors::batch::timeout: 2s",
        "{processors: {batch: {send_batch_size: 5}}, service: {pipelines: {traces: {processors: [batch]}}}}",
        sets=("processors.batch.send_batch_size=6",),
    )
    assert config.processors["batch"].settings.timeout == 2.0
    assert config.processors["batch"].settings.send_batch_size == 6
    assert config.pipelines["traces"].processors == ("batch",)


def test_null_erases_a_section() -> None:
    """A section with nothing under it erases what came before."""
    assert [problem.message for problem in problems("processors:")] == [
        'references processor "batch" which is not configured',
        'references processor "batch/2" which is not configured',
    ]
    assert read("processors: {}") == read()


def test_losing_values_are_not_expanded(caplog: pytest.LogCaptureFixture) -> None:
    """Expansion follows merging, so an unset variable that was overridden does no harm."""
    read("processors: {batch: {timeout: '${UNSET}'}}", "processors: {batch: {timeout: 1s}}")
    assert not caplog.records


def test_variables() -> None:
    """References take the type of their field."""
    config = read(
        "processors: {batch: {timeout: '${T}', send_batch_size: '${N}', metadata_keys: ['${N}']}}", T="3s", N="7"
    )
    batch = config.processors["batch"].settings
    assert (batch.timeout, batch.send_batch_size, batch.metadata_keys) == (3.0, 7, ("7",))


def test_aliases_are_deprecated(caplog: pytest.LogCaptureFixture) -> None:
    """An old name is the same component, with a warning."""
    config = read("exporters: {otlp/x: {endpoint: 'localhost:1'}}")
    assert config.exporters["otlp/x"].component.type == "otlp_grpc"
    assert '"otlp" alias is deprecated; use "otlp_grpc" instead' in caplog.text


def test_own_blocks_are_ignored() -> None:
    """Blocks `x-...` at the top hold anchors and are no part of the configuration."""
    assert read("x-any: &a {timeout: 5s}\nprocessors: {batch: *a}").processors["batch"].settings.timeout == 5.0


def test_ids_are_trimmed() -> None:
    """Spaces in ids make no difference, also where they are referred to."""
    config = read("{exporters: {' debug / c ': }, service: {pipelines: {traces: {exporters: [' debug/c']}}}}")
    assert config.pipelines["traces"].exporters == ("debug/c",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("recievers: {}", """'' has invalid keys: recievers; did you mean "receivers"?"""),
        ("receivers: []", "receivers: expected a map, got list"),
        ("receivers: {' otlp': {protocols: {http: }}}", 'receivers: duplicate name "otlp" after unmarshaling'),
        ("receivers: {otlp/: }", 'receivers: in "otlp/" id: the part after / should not be empty'),
        ("exporters: {/x: }", 'exporters: in "/x" id: the part before / should not be empty'),
        ("exporters: {'': }", "exporters: id must not be empty"),
        ("processors: {bach/1: }", 'processors: unknown type: "bach" for id: "bach/1" (valid values: ['),
        ("exporters: {logging: }", "the logging exporter has been deprecated, use the debug exporter instead"),
        (
            "processors: {batch: {timeut: 1}}",
            """processors::batch: '' has invalid keys: timeut; did you mean "timeout"?""",
        ),
        (
            "exporters: {otlp_http: {circuit_breaker: {enable: true}}}",
            """'circuit_breaker' has invalid keys: enable; did you mean "enabled"?""",
        ),
        ("receivers: {otlp: {protocols: {grpc: {tls: {ca_fil: x}}}}}", """did you mean "ca_file"?"""),
        (
            "receivers: {otlp/x: {protocols: {}}}",
            "receivers::otlp/x: must specify at least one protocol when using the OTLP receiver",
        ),
        ("connectors: {forward/x: }\nexporters: {forward/x: }", 'unknown type: "forward" for id: "forward/x"'),
        (
            "service: {extensions: [healthcheck]}",
            'service::extensions: references extension "healthcheck" which is not configured',
        ),
        ("service: {extension: []}", """service: '' has invalid keys: extension; did you mean "extensions"?"""),
        ("service: {extensions: {}}", "service::extensions: expected type 'list', got unconvertible type 'map'"),
        ("service: {telemetry: {logs: {level: loud}}}", "service::telemetry::logs::level: should be 'debug', 'info'"),
        ("service: {pipelines: }", "service::pipelines: service must have at least one pipeline"),
        ("service: {pipelines: []}", "service::pipelines: expected a map, got list"),
        ("service:", "service::pipelines: service must have at least one pipeline"),
        ("service: 5", "service: expected a map, got int"),
        (
            "service: {pipelines: {trace: }}",
            'service::pipelines: unknown signal "trace" for pipeline "trace"; did you mean "traces"?',
        ),
        (
            "service: {pipelines: {traces/: }}",
            'service::pipelines: in "traces/" id: the part after / should not be empty',
        ),
        (
            "service: {pipelines: {profiles: }}",
            'pipeline "profiles": profiling signal support is at alpha level, gated under',
        ),
        ("service: {pipelines: {logs: }}", "service::pipelines::logs: must have at least one receiver"),
        ("service: {pipelines: {logs: }}", "service::pipelines::logs: must have at least one exporter"),
        ("service: {pipelines: {logs: {reciever: x}}}", """service::pipelines::logs: '' has invalid keys: reciever"""),
        (
            "service: {pipelines: {' traces': {receivers: [otlp], exporters: [debug]}}}",
            'duplicate name "traces" after unmarshaling',
        ),
        (
            "service: {pipelines: {traces: {receivers: [otlq]}}}",
            'references receiver "otlq" which is not configured; did you mean "otlp"?',
        ),
        ("service: {pipelines: {traces: {exporters: [x]}}}", 'references exporter "x" which is not configured'),
        (
            "service: {pipelines: {traces: {processors: [forward]}}}",
            'references processor "forward" which is not configured',
        ),
        (
            "service: {pipelines: {traces: {processors: [batch, ' batch']}}}",
            'service::pipelines::traces: references processor "batch" multiple times',
        ),
        (
            "processors: {batch: {timeout: '${1}'}}",
            'processors::batch::timeout: environment variable "1" has invalid name',
        ),
        ("processors: {batch: {component: 5}}", "processors::batch::component: expected the path of a Python file"),
    ],
)
def test_mistakes(text: str, expected: str) -> None:
    """Each mistake is named by its path, with the Collector's text and a place."""
    found = problems(text)
    assert any(expected in str(problem) for problem in found), found
    assert all(problem.line for problem in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "empty configuration file"),
        ("x-only: 1", "empty configuration file"),
        ("exporters: {debug: }", "no receiver configuration specified in config"),
        ("receivers: {otlp: {protocols: {grpc: }}}", "no exporter configuration specified in config"),
    ],
)
def test_nothing_there(text: str, expected: str) -> None:
    """A configuration without receivers or exporters is none."""
    assert any(problem.message == expected for problem in problems(base=text))


def test_no_source() -> None:
    """At least one source is needed."""
    with pytest.raises(ConfigError, match="at least one config flag must be provided"):
        load([])


def test_ambiguous_ids(tmp_path: Path) -> None:
    """A connector may not be called as an exporter or a receiver is, for pipelines could not tell them apart."""
    (tmp_path / "a.py").write_text(
        "class A:\n    def consume(self, batch): ...\n    async def receive(self, next): ...\n"
    )
    mine = f"{{component: {tmp_path}/a.py}}"
    found = problems(f"receivers: {{forward: {mine}}}", f"exporters: {{forward: {mine}}}")
    assert [problem.path for problem in found] == ["connectors::forward"] * 2
    assert found[0].message == (
        'ambiguous ID: Found both "forward" exporter and "forward" connector. Change one of the components\' IDs to '
        'eliminate ambiguity (e.g. rename "forward" connector to "forward/connector")'
    )


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    """Mistakes of several kinds, in several files, are found together."""
    (tmp_path / "a.yaml").write_text(MINIMAL.replace("timeout: 1s", "timeout: 1"))
    (tmp_path / "b.yaml").write_text("exporters: {nope: }\nservice: {extensions: [gone], telemetry: {log: }}\n")
    with pytest.raises(ConfigError) as caught:
        load([str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")], ["processors.batch.timeout=soon"])
    places = {(Path(problem.file).name, problem.line) for problem in caught.value.problems}
    assert places == {("b.yaml", 1), ("b.yaml", 2), ("--set processors.batch.timeout", 1)}


def test_all_unreadable_sources_at_once(tmp_path: Path) -> None:
    """Each source that cannot be read is reported."""
    with pytest.raises(ConfigError) as caught:
        load([str(tmp_path / "a"), "yaml:[", "env:X"], ["a"], environ={})
    assert len(caught.value.problems) == 4


def test_wrong_reference_is_reported_once() -> None:
    """Where a reference could not be expanded, what it was to be is not a second mistake."""
    (problem,) = problems("processors: {batch: {send_batch_size: '${foo:x}'}}")
    assert 'scheme "foo" is not supported' in problem.message


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A component whose package is not installed says which."""

    def find(*_: object) -> None:
        raise ImportError("No module named 'rare'")

    monkeypatch.setattr("sluiceway.config.load.find", find)
    assert "exporters::debug: cannot be loaded: No module named 'rare'" in " ".join(map(str, problems()))


WORDS = st.sampled_from(
    [
        "receivers",
        "processors",
        "exporters",
        "connectors",
        "extensions",
        "service",
        "pipelines",
        "telemetry",
        "logs",
        "metrics",
        "traces",
        "otlp",
        "batch",
        "debug",
        "forward",
        "component",
        "enabled",
        "protocols",
        "grpc",
        "resource",
        "readers",
        "level",
        "${X}",
        "${env:X:-1}",
        "$$",
        "${file:x}",
        "a::b",
        "x/",
        "/",
        "&a",
        "*a",
        "<<",
        "!!int",
        "on",
        "1e3",
        "~",
        "./x.py",
    ]
)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
SECTIONS = st.dictionaries(WORDS, st.dictionaries(WORDS, TREES, max_size=3) | TREES, max_size=5)


def only_config_errors(text: str) -> None:
    """Load a text, which may be wrong in any way."""
    with contextlib.suppress(ConfigError):
        load([f"yaml:{text}"], environ={"X": text})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.text()
    | st.lists(WORDS | st.sampled_from([": ", "\n", "  ", "[", "]", "{", "}", ", ", "- ", "'", '"'])).map("".join)
)
def test_any_text(text: str) -> None:
    """No text makes the loader raise anything but `ConfigError`."""
    logging.disable()
    only_config_errors(text)
    logging.disable(logging.NOTSET)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SECTIONS)
def test_any_tree(tree: dict[str, object]) -> None:
    """Nor does any tree of the words that mean something."""
    import yaml

    logging.disable()
    only_config_errors(yaml.safe_dump(tree, allow_unicode=True))
    logging.disable(logging.NOTSET)
