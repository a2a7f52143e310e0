"""Two parts of a configuration that want one file are found before anything is opened."""

import pytest

from sluiceway.config.files import Written
from sluiceway.config.load import load
from sluiceway.errors import ConfigError
from sluiceway.pipelines.layout import arrange

BASE = """
receivers: {otlp: {protocols: {http: }}}
exporters:
  file: {path: /data/out.json}
  file/b:
    path: /data/../data/out.json
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces: {receivers: [otlp], exporters: [file]}
    logs: {receivers: [otlp], exporters: [file]}
"""


def test_two_exporters() -> None:
    """The second of two is reported where its path was written, and both are named."""
    with pytest.raises(ConfigError) as caught:
        arrange(load([f"yaml:{BASE}"], ["service.pipelines.metrics={receivers: [otlp], exporters: [file/b]}"]))
    assert [str(problem) for problem in caught.value.problems] == [
        (
            "yaml::6:11: exporters::file/b::path: cannot write to /data/../data/out.json: "
            "exporters::file::path writes to /data/out.json"
        )
    ]


def test_what_does_not_run_does_not_count() -> None:
    """Nor does one exporter in several pipelines."""
    arrange(load([f"yaml:{BASE}"]))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Written("a"), Written("./a"), True),
        (Written("a"), Written("b"), False),
        (Written("a*"), Written("a*"), True),
        (Written("a*"), Written("ab"), False),
        (Written("/dev/stdout"), Written("/dev/stdout"), False),
        (Written("x/*.json", star=True), Written("x/a.json"), True),
        (Written("x/*.json", star=True), Written("x/y/a.json"), False),
        (Written("x/a*a.json", star=True), Written("x/a.json"), False),
        (Written("x/*.json", star=True), Written("x/a.otlp"), False),
        (Written("x/*.json", star=True), Written("x/a-*.json", star=True), True),
        (Written("x/*.json", star=True), Written("x/*.otlp", star=True), False),
        (Written("x/*/a", star=True), Written("x/*/a", star=True), True),
        (Written("x/*", star=True), Written("x/y/*", star=True), False),
    ],
)
def test_files_of_both(one: Written, other: Written, expected: bool) -> None:
    """A star stands for one name, of whatever letters; devices and pipes take what several write."""
    assert one.overlaps(other) is other.overlaps(one) is expected
