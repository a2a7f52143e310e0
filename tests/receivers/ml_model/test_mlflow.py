"""A real MLflow tracking server."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web

from sluiceway.component import Status, SystemClock
from sluiceway.ml import METRICS as ENGINE
from sluiceway.receivers.ml_model import COMPONENT
from sluiceway.testing import check_metrics
from tests.ports import free_port
from tests.receivers.ml_model.bench import Bench, Points
from tests.receivers.ml_model.test_inference_servers import PAGES, serving, vllm_page
from tests.servers.mlflow import MlflowServer

NOW = 1_700_000_000_000
"""Where a ManualClock begins, in ms."""


def bench(uri: str, more: str = "", clock: SystemClock | None = None) -> Bench:
    """A receiver that asks one tracking server."""
    return Bench(f"{{mlflow: {{m: {{tracking_uri: '{uri}', {more}}}}}}}", clock)


def by(found: Points, name: str, *keys: str) -> dict[tuple[Any, ...], Any]:
    """The values of a metric by some attributes."""
    return {tuple(point["attributes"].get(key, "") for key in keys): point["value"] for point in found.get(name, [])}


def attributes(record: Any) -> dict[str, Any]:
    """The attributes of a log record."""
    return {entry.key: entry.value.string_value for entry in record.attributes}


async def test_runs_with_their_latest_metrics(tracking: MlflowServer) -> None:
    """The last value of each metric, how long runs took, and how many there are in each state."""
    experiment = tracking.experiment("churn")
    one = tracking.run(experiment, "one", NOW - 60_000, auc=0.5, loss=2.0)
    tracking.log(one, "auc", 0.75, step=1)
    two = tracking.run(experiment, "two", NOW - 90_000, auc=0.25)
    tracking.end(two, "FINISHED", NOW - 30_000)
    async with bench(tracking.uri, "experiments: [churn]") as running:
        found = await running.measure()
        assert running.status == (Status.OK, "")
    assert by(found, "ml.mlflow.run.metric", "ml.mlflow.run.name", "ml.mlflow.metric") == {
        ("one", "auc"): 0.75, ("one", "loss"): 2.0, ("two", "auc"): 0.25,
    }  # fmt: skip
    keys = ("ml.mlflow.run.id", "ml.mlflow.run.status", "ml.mlflow.experiment.name")
    assert by(found, "ml.mlflow.run.duration", *keys) == {
        (one, "RUNNING", "churn"): 60.0, (two, "FINISHED", "churn"): 60.0,
    }  # fmt: skip
    assert by(found, "ml.mlflow.runs", "ml.mlflow.run.status") == {("RUNNING",): 1, ("FINISHED",): 1}
    resource = found["ml.mlflow.runs"][0]["resource"]
    assert resource == {
        "ml.source": "m", "server.address": "127.0.0.1", "server.port": int(tracking.uri.rpartition(":")[2]),
    }  # fmt: skip


async def test_changes_of_state_are_told_once(tracking: MlflowServer) -> None:
    """Those of runs that were there, and runs that are new; not what was so before the start."""
    experiment = tracking.experiment("states")
    one = tracking.run(experiment, "one", NOW - 1000)
    tracking.end(tracking.run(experiment, "old", NOW - 2000), "FINISHED", NOW)
    async with bench(tracking.uri, "experiments: [states]") as running:
        assert await running.records() == []
        tracking.end(one, "FAILED", NOW + 5)
        two = tracking.run(experiment, "two", NOW + 7)
        records = await running.records()
        assert [(record.event_name, record.severity_text) for record in records] == [
            ("ml.mlflow.run", "INFO"), ("ml.mlflow.run", "ERROR"),
        ]  # fmt: skip
        assert attributes(records[1]) == {
            "ml.mlflow.experiment.name": "states",
            "ml.mlflow.run.id": one,
            "ml.mlflow.run.name": "one",
            "ml.mlflow.run.status": "FAILED",
            "ml.mlflow.run.status.previous": "RUNNING",
        }
        assert records[1].body.string_value == "run one of states: RUNNING -> FAILED"
        assert [record.time_unix_nano // 1_000_000 for record in records] == [NOW + 7, NOW + 5]
        assert attributes(records[0])["ml.mlflow.run.id"] == two
        assert await running.records() == []
        tracking.end(two, "KILLED", NOW + 9)
        (record,) = await running.records()
        assert record.severity_text == "WARN"


async def test_runs_that_come_into_sight_are_not_new(tracking: MlflowServer) -> None:
    """Older ones take the places of those that are deleted, and nothing has happened to them."""
    experiment = tracking.experiment("sight")
    runs = [tracking.run(experiment, str(number), NOW + number) for number in range(4)]
    async with bench(tracking.uri, "experiments: [sight], max_runs: 2") as running:
        assert await running.records() == []
        tracking.ask("runs/delete", {"run_id": runs[3]})
        assert await running.records() == []
        tracking.run(experiment, "new", NOW + 9)
        assert len(await running.records()) == 1


async def test_registered_models(tracking: MlflowServer) -> None:
    """The newest version, and those of aliases and stages."""
    for name in ("churn", "empty"):
        tracking.ask("registered-models/create", {"name": name})
    for _ in range(11):
        tracking.ask("model-versions/create", {"name": "churn", "source": "s3://models/churn"})
    tracking.ask("registered-models/alias", {"name": "churn", "alias": "champion", "version": "9"})
    tracking.ask("model-versions/transition-stage", {"name": "churn", "version": "10", "stage": "Production"})
    async with bench(tracking.uri) as running:
        found = await running.measure()
        assert running.status == (Status.OK, "")
    keys = ("ml.model.name", "ml.mlflow.model.alias", "ml.mlflow.model.stage")
    assert by(found, "ml.mlflow.model.version", *keys) == {
        ("churn", "", ""): 11, ("churn", "champion", ""): 9, ("churn", "", "Production"): 10,
    }  # fmt: skip
    assert found["ml.mlflow.models"][0]["value"] == 2


async def test_runs_and_metrics_have_limits(tracking: MlflowServer) -> None:
    """The runs that began last, and the first metrics by their names."""
    experiment = tracking.experiment("many")
    for number in range(6):
        tracking.run(experiment, str(number), NOW + number, a=1.0, b=2.0, c=3.0)
    async with bench(tracking.uri, "experiments: [many], max_runs: 4, max_metrics: 2") as running:
        found = await running.measure()
    runs = {(str(number), key) for number in (2, 3, 4, 5) for key in "ab"}
    assert set(by(found, "ml.mlflow.run.metric", "ml.mlflow.run.name", "ml.mlflow.metric")) == runs


async def test_an_experiment_that_is_not_there_is_named(tracking: MlflowServer) -> None:
    """And the others are told."""
    tracking.run(tracking.experiment("it's here"), "one", NOW, auc=0.5)
    async with bench(tracking.uri, 'experiments: ["it\'s here", nowhere]') as running:
        found = await running.measure()
        assert "m: no experiment nowhere" in running.status[1]
    assert set(by(found, "ml.mlflow.run.metric", "ml.mlflow.experiment.name")) == {("it's here",)}


async def test_the_server_is_asked_as_often_as_told(tracking: MlflowServer) -> None:
    """Between, what was last known is told."""
    experiment = tracking.experiment("seldom")
    run = tracking.run(experiment, "one", NOW, auc=0.5)
    async with bench(tracking.uri, "experiments: [seldom], poll_interval: 5m") as running:
        values = []
        for seconds in (100, 100, 101):
            (value,) = by(await running.measure(), "ml.mlflow.run.metric").values()
            values.append(value)
            tracking.log(run, "auc", 0.75, step=1)
            await running.clock.advance(seconds)
        (value,) = by(await running.measure(), "ml.mlflow.run.metric").values()
    assert [*values, value] == [0.5, 0.5, 0.5, 0.75]


async def test_a_server_that_is_away_is_named() -> None:
    """And nothing is told of it."""
    async with bench(f"http://127.0.0.1:{free_port()}") as running:
        assert await running.measure() == {}
        status, text = running.status
    assert status is Status.RECOVERABLE_ERROR
    assert "m: 127.0.0.1:" in text


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (lambda _: b"<html>", "is this an MLflow server?"),
        (lambda _: web.Response(status=401), "HTTP 401: credentials are needed"),
        (lambda _: web.Response(status=404), "HTTP 404"),
    ],
)
async def test_what_is_no_mlflow_is_named(answer: Callable[[web.Request], Any], text: str) -> None:
    """Whatever it answers."""
    async with serving(answer, "/api/2.0/mlflow/{rest:.*}") as url, bench(url.removesuffix("/metrics")) as running:
        await running.measure()
    assert text in running.status[1]


async def test_hostile_answers_do_no_harm() -> None:
    """Wrong types are left out, and pages have an end."""
    run = {
        "info": {"run_id": 5, "experiment_id": "1", "start_time": "x", "status": ["y"], "end_time": 1e300},
        "data": {"metrics": [{"key": "a", "value": "NaN"}, {"key": None, "value": 1}, 7, {"value": {}}]},
    }
    answers = {
        "experiments/search": {"experiments": [{"experiment_id": "1", "name": "e" * 10_000}, "z"]},
        "runs/search": {"runs": [run, run, None], "next_page_token": "again"},
        "registered-models/search": {
            "registered_models": [{"name": 1, "latest_versions": "x", "aliases": [{"version": "no"}]}],
            "next_page_token": "again",
        },
    }
    asked = []

    def answer(request: web.Request) -> web.Response:
        asked.append(request.match_info["rest"])
        return web.json_response(answers[request.match_info["rest"]])

    begun = time.monotonic()
    async with serving(answer, "/api/2.0/mlflow/{rest:.*}") as url:
        async with bench(url.removesuffix("/metrics"), "max_runs: 10000, max_models: 10000", SystemClock()) as running:
            found = await running.measure()
        assert running.status == (Status.OK, "")
    assert len(asked) == 201
    assert time.monotonic() - begun < 10
    assert {len(point["attributes"]["ml.mlflow.experiment.name"]) for point in found["ml.mlflow.runs"]} == {256}


async def test_all_that_servers_show_is_declared_and_emitted(tracking: MlflowServer) -> None:
    """Each metric of MLflow and of inference servers, as it was declared."""
    tracking.run(tracking.experiment("all"), "one", NOW, auc=0.5)
    tracking.ask("registered-models/create", {"name": "all"})
    tracking.ask("model-versions/create", {"name": "all", "source": "s3://models/all"})
    pending = b'nv_inference_pending_request_count{model="m",version="1"} 1\n'
    pages = {name: (PAGES / f"{name}.txt").read_bytes() for name in ("triton", "kserve", "torchserve")}
    pages["triton"] += pending
    pages["vllm"] = vllm_page()
    async with AsyncExitStack() as stack:
        urls = {
            name: await stack.enter_async_context(serving(lambda _, page=page: page)) for name, page in pages.items()
        }
        servers = ", ".join(f"{name}: {{preset: {name}, endpoint: '{url}'}}" for name, url in urls.items())
        yaml = f"{{mlflow: {{m: {{tracking_uri: '{tracking.uri}'}}}}, inference_servers: {{{servers}}}}}"
        running = await stack.enter_async_context(Bench(yaml))
        await running.measure()
        assert running.status == (Status.OK, "")
    missing = check_metrics(COMPONENT, running.sink.batches)
    assert missing == {metric.name for metric in ENGINE} - {"ml.inference.duration"}
