"""Predictions and labels from files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluiceway.component import Status
from sluiceway.errors import ConfigError
from sluiceway.ml import METRICS as ENGINE
from sluiceway.receivers.ml_model import COMPONENT, files, records
from sluiceway.receivers.ml_model.matching import Found, find
from sluiceway.receivers.ml_model.settings import FileSource
from sluiceway.receivers.ml_model.tail import Tail
from sluiceway.testing import check_metrics
from tests.receivers.ml_model.bench import Bench, counts, rejected, settings, total


def predictions(first: int, last: int, **more: Any) -> str:
    """Lines with predictions, of the ids from first to before last."""
    records = ({"prediction_id": str(n), "model_name": "m", "prediction": n % 2, **more} for n in range(first, last))
    return "".join(json.dumps(record) + "\n" for record in records)


def append(path: Path, text: str) -> None:
    """Write to the end of a file."""
    with path.open("a") as file:
        file.write(text)


def bench(folder: Path, more: str = "start_at: beginning", pattern: str = "*.jsonl") -> Bench:
    """A receiver with one source of predictions."""
    return Bench(f"{{files: {{p: {{include: ['{folder}/{pattern}'], {more}}}}}}}")


async def test_what_is_appended_is_read(tmp_path: Path) -> None:
    """Each line once, and a line without an end when its end has come."""
    file = tmp_path / "a.jsonl"
    file.write_text(predictions(0, 10))
    async with bench(tmp_path) as running:
        await running.until(lambda found: counts(found) == {"m": 10})
        line = predictions(10, 11)
        append(file, line[:20])
        await running.until(lambda found: counts(found) == {"m": 10})
        append(file, line[20:] + predictions(11, 20))
        found = await running.until(lambda found: total(found) >= 20)
    assert counts(found) == {"m": 20}
    assert rejected(found) == {}


async def test_only_what_is_new_is_read_unless_told_otherwise(tmp_path: Path) -> None:
    """Files that are there at the start are read from their end, also from within a line; others from the beginning."""
    file = tmp_path / "a.jsonl"
    file.write_text(predictions(0, 10) + predictions(10, 11)[:-1])
    async with bench(tmp_path, "start_at: end") as running:
        await running.until(lambda _: len(running.receiver._sources._opened[0][1]._tails) == 1)
        append(file, "\n" + predictions(11, 13))
        await running.until(lambda found: total(found) == 2)
        (tmp_path / "b.jsonl").write_text(predictions(20, 25))
        found = await running.until(lambda found: total(found) >= 7)
    assert counts(found) == {"m": 7}
    assert rejected(found) == {}


@pytest.mark.parametrize("name", ["a.jsonl.1", "b.jsonl"])
async def test_a_file_that_is_renamed_is_read_to_its_end(tmp_path: Path, name: str) -> None:
    """Whether its new name matches or not: what is written last, also after that, is not lost, nor read twice."""
    file = tmp_path / "a.jsonl"
    file.write_text(predictions(0, 5))
    async with bench(tmp_path) as running:
        await running.until(lambda found: total(found) == 5)
        append(file, predictions(5, 8))
        file.rename(tmp_path / name)
        file.write_text(predictions(9, 12))
        await running.until(lambda found: total(found) == 11)
        append(tmp_path / name, predictions(12, 14) + predictions(8, 9).rstrip())
        await running.until(lambda found: total(found) == 13)
        if name == "b.jsonl":
            append(tmp_path / name, "\n")
        found = await running.until(lambda found: total(found) >= 14)
        if name == "a.jsonl.1":
            assert len(running.receiver._sources._opened[0][1]._tails) == 1
    assert counts(found) == {"m": 14}
    assert rejected(found) == {}


async def test_a_file_that_is_emptied_is_read_from_its_beginning(tmp_path: Path) -> None:
    """As when a program rotates by copying."""
    file = tmp_path / "a.jsonl"
    file.write_text(predictions(0, 50))
    async with bench(tmp_path) as running:
        await running.until(lambda found: total(found) == 50)
        os.truncate(file, 0)
        append(file, predictions(50, 53))
        found = await running.until(lambda found: total(found) >= 53)
    assert counts(found) == {"m": 53}


async def test_records_that_break_the_contract_are_counted(tmp_path: Path) -> None:
    """Each costs itself, whatever it is."""
    lines = [
        predictions(0, 1),
        "no json\n",
        "[" * 100_000 + "\n",
        '{"a":' * 300 + "NaN\n",
        "[1]\n",
        '{"prediction_id": "x"}\n',
        '{"prediction_id": "y", "prediction": 1, "latency": -1}\n',
        '{"prediction_id": "v", "prediction": 1, "latency": [1]}\n',
        '{"prediction_id": "z", "prediction": NaN}\n',
        '{"prediction_id": "n", "model_name": "m", "prediction": 1, "feature_a": NaN}\n',
        '{"prediction_id": "long", "prediction": "' + "x" * 2_000_000 + '"}\n',
        '{"prediction_id": "long", "prediction": "' + "x" * 3_000 + '"}\n',
        "\xff\n",
        "\n",
        predictions(1, 3),
    ]
    (tmp_path / "a.jsonl").write_text("".join(lines), encoding="latin-1")
    async with bench(tmp_path, "start_at: beginning, max_record_size: 2048") as running:
        await running.until(lambda found: total(found) >= 4)
        append(tmp_path / "a.jsonl", '{"prediction": 1, "model_name": "m", "latency": [2], "feature_a": [3]}\n')
        append(tmp_path / "a.jsonl", predictions(3, 4))
        found = await running.until(lambda found: total(found) >= 5)
    assert counts(found) == {"m": 5}
    assert rejected(found) == {"not_json": 4, "too_long": 3, "no_prediction": 2, "bad_number": 3}


async def test_what_cannot_be_read_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should it break what reads it, it is left out and named, and what comes after it is read."""
    read = records.read_predictions

    def fail(table: Any, *more: Any, **options: Any) -> Any:
        if "poison" in table["prediction_id"]:
            raise ZeroDivisionError
        return read(table, *more, **options)

    monkeypatch.setattr(records, "read_predictions", fail)
    async with bench(tmp_path) as running:
        append(tmp_path / "a.jsonl", predictions(0, 3) + '{"prediction_id": "poison", "prediction": 1}\n')
        await running.until(lambda _: "ZeroDivisionError" in running.status[1])
        append(tmp_path / "a.jsonl", predictions(3, 5))
        found = await running.until(lambda found: total(found) == 5 and running.status == (Status.OK, ""))
    assert rejected(found) == {"unreadable": 1}


async def test_a_missing_column_is_named(tmp_path: Path) -> None:
    """With the file, what is there, and what may have been meant; and another source goes on."""
    (tmp_path / "p.jsonl").write_text('{"prediction_id": 1, "model_name": "m", "predictoin": 1}\n')
    (tmp_path / "l.jsonl").write_text('{"prediction_id": "1", "lable": 1}\n')
    yaml = f"""{{files: {{
        p: {{include: ['{tmp_path}/p*.jsonl'], start_at: beginning}},
        l: {{include: ['{tmp_path}/l*.jsonl'], start_at: beginning, records: ground_truth}},
        q: {{include: ['{tmp_path}/q*.jsonl'], start_at: beginning}},
    }}}}"""
    async with Bench(yaml) as running:
        await running.until(lambda _: running.status[1].count("no column") == 2)
        status, text = running.status
        assert status is Status.OK  # one source works
        assert f'{tmp_path}/p.jsonl: no column "prediction"; did you mean "predictoin"?' in text
        assert "(there are: model_name, prediction_id, predictoin)" in text
        assert 'no column "label"; did you mean "lable"?' in text
        append(tmp_path / "q.jsonl", predictions(0, 3))
        append(tmp_path / "p.jsonl", predictions(3, 4))
        found = await running.until(lambda found: total(found) == 4 and "p: " not in running.status[1])
    assert rejected(found) == {"no_column": 2}


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
async def test_a_missing_column_is_named_at_the_start(tmp_path: Path, kind: str) -> None:
    """Of the newest file, though only what comes after the start is read."""
    if kind == "parquet":
        parquet(tmp_path / "a.parquet", 0, 5)
    else:
        append(tmp_path / "a.jsonl", '{"prediction_id": 1, "scores": 0.5}\n' * 100_000)
    columns = "columns: {prediction: outcome, score: scored}"
    async with bench(tmp_path, f"start_at: end, {columns}", f"*.{kind}") as running:
        found = await running.until(lambda _: f'a.{kind}: no column "outcome"' in running.status[1])
    assert rejected(found) == {}


async def test_what_cannot_be_joined_is_told(tmp_path: Path) -> None:
    """Predictions without an id are refused where labels come from another source; else they are counted."""
    (tmp_path / "p.jsonl").write_text('{"model_name": "m", "score": 0.5, "prediction_idd": 1}\n')
    (tmp_path / "l.jsonl").write_text("")
    yaml = f"{{files: {{p: {{include: ['{tmp_path}/p.jsonl'], start_at: beginning}}"
    async with Bench(f"{yaml}}}}}") as running:
        await running.until(lambda found: total(found) == 1)
    labels = f"l: {{include: ['{tmp_path}/l.jsonl'], records: ground_truth}}"
    async with Bench(f"{yaml}, {labels}}}}}") as running:
        await running.until(lambda _: 'no column "prediction_id"; did you mean "prediction_idd"?' in running.status[1])


async def test_columns_that_were_named_must_be_there(tmp_path: Path) -> None:
    """A column that has its usual name may be missing, but not one that the settings name."""
    (tmp_path / "p.jsonl").write_text('{"model_name": "m", "score": 0.5, "latency_s": 1}\n')
    async with bench(tmp_path, "start_at: beginning, columns: {latency: latency_ms}") as running:
        await running.until(lambda _: 'no column "latency_ms"; did you mean "latency_s"?' in running.status[1])


async def test_columns_have_the_names_that_the_settings_give(tmp_path: Path) -> None:
    """Members of objects are columns too."""
    record = {"id": 7, "ml": {"name": "x", "v": 2}, "features": {"age": 3}, "p": {"yes": 0.9, "no": 0.1}}
    (tmp_path / "a.jsonl").write_text(json.dumps(record) + "\n")
    columns = (
        "{prediction_id: id, model_name: ml.name, model_version: ml.v, "
        "feature_prefix: features., probability_prefix: p.}"
    )
    async with bench(tmp_path, f"start_at: beginning, columns: {columns}") as running:
        found = await running.until(lambda found: total(found) == 1)
    assert found["ml.predictions"][0]["attributes"] == {"ml.model.name": "x", "ml.model.version": "2"}
    assert found["ml.prediction.confidence"][0]["point"].sum == 0.9


async def test_models_that_records_do_not_name(tmp_path: Path) -> None:
    """The settings of the source name them."""
    (tmp_path / "a.jsonl").write_text('{"prediction_id": "1", "prediction": 1}\n')
    async with bench(tmp_path, "start_at: beginning, model_name: churn, model_version: '9'") as running:
        found = await running.until(lambda found: total(found) == 1)
    assert found["ml.predictions"][0]["attributes"] == {"ml.model.name": "churn", "ml.model.version": "9"}


@pytest.mark.parametrize("kind", ["json_lines", "parquet"])
async def test_models_in_one_file_are_read_apart(tmp_path: Path, kind: str) -> None:
    """One model's quantities do not become another's classes, and each has the scores that it has."""
    rows = [
        {"prediction_id": f"{model}{n}", "model_name": model, "label": n % 2, **said}
        for n in range(40)
        for model, said in (("score", {"score": n / 40}), ("both", {"probability_0": 0.25, "probability_1": 0.75}))
    ]
    rows += [
        {
            "prediction_id": f"r{n}",
            "model_name": "regression",
            "prediction": n / 2 if n % 2 else n // 2,
            "label": n + 0.5,
        }
        for n in range(40)
    ]
    names = {name for row in rows for name in row}
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist([dict.fromkeys(names) | row for row in rows]), tmp_path / "hidden")
    async with bench(tmp_path, f"format: {kind}, start_at: beginning", "data*") as running:
        if kind == "parquet":
            (tmp_path / "hidden").rename(tmp_path / "data")
        else:
            append(tmp_path / "data", "".join(json.dumps(row) + "\n" for row in rows))
        await running.until(lambda found: total(found) == 120)
        await running.clock.advance(600)
        found = await running.measure()
    figures = {(p["attributes"]["ml.model.name"], p["attributes"]["metric"]) for p in found["ml.performance"]}
    assert {("score", "roc_auc"), ("both", "log_loss"), ("regression", "mae")} <= figures
    assert {figure for model, figure in figures if model == "regression"} == {"mae", "rmse", "mape", "r2"}


def parquet(path: Path, first: int, last: int, **more: Any) -> None:
    """A Parquet file with predictions."""
    numbers = range(first, last)
    columns = {
        "prediction_id": [str(n) for n in numbers],
        "model_name": ["m" for _ in numbers],
        "score": [n / last for n in numbers],
        "features": [{"a": float(n)} for n in numbers],
        "unused": ["x" for _ in numbers],
        **more,
    }
    pq.write_table(pa.table(columns), path)


async def test_parquet_is_read_once(tmp_path: Path) -> None:
    """Whole, when it has come; one that is not complete yet is read when it is."""
    async with bench(tmp_path, "columns: {feature_prefix: features.}", "*.parquet") as running:
        await running.until(lambda _: not running.receiver._sources._opened[0][1]._first)
        parquet(tmp_path / "hidden", 0, 15_000)
        content = (tmp_path / "hidden").read_bytes()
        (tmp_path / "a.parquet").write_bytes(content[:1000])
        await running.until(lambda _: "a.parquet" in running.status[1])
        assert running.status[0] is Status.RECOVERABLE_ERROR
        (tmp_path / "a.parquet").write_bytes(content)
        await running.until(lambda found: total(found) == 15_000 and running.status == (Status.OK, ""))
        parquet(tmp_path / "b.parquet", 15_000, 15_010)
        found = await running.until(lambda found: total(found) > 15_000)
    assert counts(found) == {"m": 15_010}
    assert rejected(found) == {}


async def test_parquet_that_is_written_while_it_is_found_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is how the file was when it was read, and not when it was found."""
    parquet(tmp_path / "hidden", 0, 10)

    def find_and_write(source: FileSource) -> list[Found]:
        found = find(source)
        for file in found:
            if file.size == 4:
                Path(file.path).write_bytes((tmp_path / "hidden").read_bytes())
        return found

    monkeypatch.setattr("sluiceway.receivers.ml_model.files.find", find_and_write)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    async with bench(tmp_path, "start_at: beginning, columns: {feature_prefix: features.}", "*.parquet") as running:
        await running.until(lambda found: total(found) == 10)
        for _ in range(3):
            found = await running.until(lambda _: True)
    assert counts(found) == {"m": 10}
    assert rejected(found) == {}


async def test_parquet_that_lacks_a_column_is_named(tmp_path: Path) -> None:
    """And left out, until it is replaced."""
    async with bench(tmp_path, "columns: {prediction: outcome, score: probability}", "*.parquet") as running:
        await running.until(lambda _: not running.receiver._sources._opened[0][1]._first)
        parquet(tmp_path / "a.parquet", 0, 5)
        await running.until(lambda _: "no column" in running.status[1])
        assert 'a.parquet: no column "outcome"' in running.status[1]
        parquet(tmp_path / "a.parquet", 0, 6, outcome=[1] * 6)
        found = await running.until(lambda found: total(found) == 6 and running.status == (Status.OK, ""))
    assert counts(found) == {"m": 6}


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
async def test_a_reference_from_a_file(tmp_path: Path, kind: str) -> None:
    """Drift is measured against it from the first window on; features suffice."""
    if kind == "parquet":
        parquet(tmp_path / "reference.parquet", 0, 500)
    else:
        lines = ({"features": {"a": n}} for n in range(500))
        (tmp_path / "reference.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    yaml = f"""{{
        window: {{type: sliding, size: 1h}},
        reference: {{type: given, file: '{tmp_path}/reference.{kind}', columns: {{feature_prefix: features.}}}},
        files: {{p: {{include: ['{tmp_path}/p.jsonl'], columns: {{feature_prefix: features.}}}}}},
    }}"""
    async with Bench(yaml) as running:
        await running.until(lambda _: not running.receiver._sources._opened[0][1]._first)
        lines = (
            {"prediction_id": n, "model_name": "m", "score": n / 500, "features": {"a": n + 1000}} for n in range(200)
        )
        append(tmp_path / "p.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        found = await running.until(lambda found: "ml.drift.detected" in found)
    drifted = {
        point["attributes"]["feature"]: point["value"]
        for point in found["ml.drift.detected"]
        if point["attributes"].get("feature")
    }
    assert drifted == {"a": 1}


async def test_a_large_reference_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it counts, and not only the part that was read last."""
    monkeypatch.setattr(records, "_MOST_CELLS", 300)
    lines = [{"prediction_id": n, "score": n / 1000, "feature_a": n} for n in range(1000)]
    append(tmp_path / "reference.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    append(tmp_path / "p.jsonl", "".join(json.dumps(line) + "\n" for line in lines[::5]))
    yaml = f"""{{
        reference: {{type: given, file: '{tmp_path}/reference.jsonl'}},
        files: {{p: {{include: ['{tmp_path}/p.jsonl'], start_at: beginning}}}},
    }}"""
    async with Bench(yaml) as running:
        await running.until(lambda found: total(found) == 200)
        await running.clock.advance(600)
        found = await running.until(lambda found: "ml.drift.detected" in found)
    assert {point["value"] for point in found["ml.drift.detected"]} == {0}


async def test_a_file_that_cannot_be_opened_is_named_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other files are read meanwhile; what was in it at the start is left out as it is elsewhere."""
    append(tmp_path / "a.jsonl", predictions(0, 5))
    append(tmp_path / "b.jsonl", predictions(5, 6))
    denied = {str(tmp_path / "a.jsonl")}

    class Denying(Tail):
        def __init__(self, path: str, **options: Any) -> None:
            if path in denied:
                raise PermissionError(13, "Permission denied", path)
            super().__init__(path, **options)

    monkeypatch.setattr(files, "Tail", Denying)
    async with bench(tmp_path, "start_at: end") as running:
        await running.until(lambda _: "Permission denied: '" in running.status[1])
        append(tmp_path / "b.jsonl", predictions(6, 9))
        append(tmp_path / "a.jsonl", predictions(9, 11))
        await running.until(lambda found: total(found) == 3)
        denied.clear()
        found = await running.until(lambda found: total(found) == 5 and running.status == (Status.OK, ""))
    assert rejected(found) == {}


async def test_a_file_that_cannot_be_read_is_named_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From where reading stood."""
    append(tmp_path / "a.jsonl", predictions(0, 5))
    append(tmp_path / "b.jsonl", predictions(5, 6))
    async with bench(tmp_path) as running:
        await running.until(lambda found: total(found) == 6)
        read = Tail.read

        def fail(tail: Tail, **options: Any) -> Any:
            if tail.path.endswith("a.jsonl"):
                raise OSError(116, "Stale file handle")
            return read(tail, **options)

        monkeypatch.setattr(Tail, "read", fail)
        append(tmp_path / "a.jsonl", predictions(6, 8))
        append(tmp_path / "b.jsonl", predictions(8, 9))
        await running.until(lambda found: total(found) == 7 and "a.jsonl: " in running.status[1])
        monkeypatch.setattr(Tail, "read", read)
        found = await running.until(lambda found: total(found) == 9 and running.status == (Status.OK, ""))
    assert rejected(found) == {}


async def test_no_file_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It may come; but it is told once, for it may be a mistake."""
    async with bench(tmp_path) as running:
        await running.until(lambda _: "p: no files match the configured criteria" in caplog.messages)
        append(tmp_path / "a.jsonl", predictions(0, 3))
        await running.until(lambda found: total(found) == 3)
        assert running.status == (Status.OK, "")
    assert len(caplog.messages) == 1


async def test_all_that_is_measured_of_models_is_declared_and_emitted(tmp_path: Path) -> None:
    """Each metric of the engine, as it was declared; drift is a log record too."""

    def lines(first: int, last: int, score: float, plan: str, **more: Any) -> str:
        records = (
            {"prediction_id": n, "timestamp": 1_700_000_000, "model_name": "m", "score": score + n % 7 / 1000,
             "prediction": int(score > 0.5), "label": n % 2, "latency": 0.01, "feature_plan": plan, "feature_n": n % 50}
            | more
            for n in range(first, last)
        )  # fmt: skip
        return "".join(json.dumps(record) + "\n" for record in records)

    (tmp_path / "reference.jsonl").write_text(lines(0, 300, 0.9, "basic"))
    yaml = f"""{{
        reference: {{type: given, file: '{tmp_path}/reference.jsonl'}},
        files: {{
            p: {{include: ['{tmp_path}/p.jsonl'], start_at: beginning}},
            l: {{include: ['{tmp_path}/l.jsonl'], start_at: beginning, records: ground_truth}},
        }},
    }}"""
    (tmp_path / "p.jsonl").write_text(
        lines(0, 1000, 0.9, "basic")
        + lines(1000, 2000, 0.55, "new", feature_n=1000)
        + lines(2000, 2001, 0.5, "new", error="oom")
        + lines(2001, 2050, 0.5, "new", label=None)
    )
    (tmp_path / "l.jsonl").write_text(
        "".join(json.dumps({"prediction_id": n, "label": 1}) + "\n" for n in range(2001, 2050))
    )
    async with Bench(yaml) as running:
        await running.until(lambda found: total(found, "ml.labels") >= 49 and total(found) == 2050)
        await running.clock.advance(600)
        records = await running.records()
        await running.until(lambda found: "ml.drift.changes" in found)
    missing = check_metrics(COMPONENT, running.sink.batches)
    assert missing & {metric.name for metric in ENGINE} == set()
    assert {record.event_name for record in records} == {"ml.drift"}


async def test_a_reference_that_is_away_is_named_and_tried_again(tmp_path: Path) -> None:
    """Predictions are taken meanwhile."""
    reference = tmp_path / "reference.jsonl"
    yaml = f"""{{
        reference: {{type: given, file: '{reference}'}},
        files: {{p: {{include: ['{tmp_path}/p.jsonl'], start_at: beginning}}}},
    }}"""
    append(tmp_path / "p.jsonl", predictions(0, 3))
    async with Bench(yaml) as running:
        await running.until(lambda found: total(found) == 3)
        await running.until(lambda _: "reference: " in running.status[1])
        append(reference, predictions(0, 100))
        await running.until(lambda _: running.status == (Status.OK, ""))


async def test_too_many_files_are_followed_in_turn(tmp_path: Path) -> None:
    """The newest are read; what was read of others is remembered."""
    for number in range(6):
        (tmp_path / f"{number}.jsonl").write_text(predictions(number * 10, number * 10 + 10))
        os.utime(tmp_path / f"{number}.jsonl", (number, number))
    async with bench(tmp_path, "start_at: beginning, max_files: 3") as running:
        await running.until(lambda found: total(found) == 30)
        append(tmp_path / "0.jsonl", predictions(100, 101))
        await running.until(lambda found: total(found) == 41)
        append(tmp_path / "3.jsonl", predictions(101, 102))
        found = await running.until(lambda found: total(found) >= 42)
    assert counts(found) == {"m": 42}
    assert rejected(found) == {}


@pytest.mark.parametrize(
    ("yaml", "text"),
    [
        ("{}", "needs at least one of files, sql, mlflow and inference_servers"),
        ("{files: {p: {}}}", 'files.p: requires "include"'),
        ("{files: {p: {include: [a], records: labels}}}", "files.p.records"),
        ("{files: {p: {include: [a], columns: {lable: x}}}}", 'did you mean "label"?'),
        ("{files: {p: {include: [a]}}, reference: {type: given}}", '"given" and a file or a query go together'),
        ("{files: {p: {include: [a]}}, reference: {file: a}}", '"given" and a file or a query go together'),
        ("{sql: {p: {datasource: 'mysql://a', query: $1, cursor: id}}}", "must begin with postgresql://"),
        ("{sql: {p: {datasource: 'postgresql://a', query: SELECT, cursor: id}}}", "it has no $1"),
        ("{sql: {p: {datasource: 'postgresql://u:ge/heim@h/d', query: $1, cursor: id}}}", "/ is written as %2F"),
        ("{files: {p: {include: [a]}}, reference: {type: given, query: q, datasource: x}}", "must begin with postgre"),
        ("{mlflow: {m: {tracking_uri: here}}}", "must be a URL"),
        ("{mlflow: {m: {tracking_uri: 'http://u:geheim@here'}}}", "must not hold credentials"),
        ("{mlflow: {m: {tracking_uri: 'http://a', token: x, username: u, password: p}}}", "either a token or"),
        ("{inference_servers: {m: {preset: bento, endpoint: 'http://a'}}}", "preset"),
        ("{inference_servers: {m: {preset: vllm, endpoint: 'http://a', username: u}}}", "go together"),
    ],
)
def test_mistakes_are_reported_by_their_keys(yaml: str, text: str) -> None:
    """Before anything starts."""
    with pytest.raises(ConfigError) as caught:
        settings(yaml)
    assert text in str(caught.value).replace("::", ".")
    assert "geheim" not in str(caught.value)
    assert "ge/" not in str(caught.value)
