"""MLflow by its REST API: runs with their latest metrics, what became of them, and registered models."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import orjson

from sluiceway.clock import Clock
from sluiceway.receivers.ml_model.metrics import MODELS, RUN_DURATION, RUN_METRIC, RUNS, VERSION
from sluiceway.receivers.ml_model.settings import MlflowSource
from sluiceway.receivers.ml_model.web import StatusError, Web
from sluiceway.scraping import Recorder

__all__ = ["Mlflow"]

_PAGE: Final = 1000
_MOST_PAGES: Final = 100
_LONGEST: Final = 256
_SEVERITIES: Final = {"FAILED": 17, "KILLED": 13}
_MODEL_PAGE: Final = 100


@dataclass(slots=True)
class _Run:
    id: str
    name: str
    experiment: str
    status: str
    started: int
    """In ms since the epoch, as `ended`, which is 0 while it runs."""
    ended: int
    metrics: list[tuple[str, float]]


@dataclass(slots=True)
class _Known:
    """What the server told last."""

    runs: list[_Run] = field(default_factory=list)
    models: list[Mapping[str, Any]] = field(default_factory=list)
    missing: str = ""


class Mlflow:
    """One tracking server."""

    def __init__(self, source: MlflowSource, web: Web, clock: Clock) -> None:
        self._source = source
        self._web = web
        self._clock = clock
        self._known: _Known | None = None
        self._statuses: dict[str, str] | None = None
        """The state of each run, as it was told."""
        self._oldest = 0
        """When the first of the runs began that were looked at last; 0 when all were."""
        self._due = 0.0

    async def measure(self) -> str:
        """Ask the server, if it is time; returns what is wrong, and raises `OSError` when nothing can be had."""
        if self._known is not None and self._clock.now() < self._due:
            return self._known.missing
        self._known = None
        experiments, missing = await self._experiments()
        runs = [run async for run in self._runs(experiments)] if experiments else []
        models = [model async for model in self._models()]
        self._known = _Known(runs, models, missing)
        self._due = self._clock.now() + self._source.poll_interval
        return missing

    def record(self, recorder: Recorder, now: int) -> None:
        """Record what was told last, and what has become of runs since the time before."""
        known = self._known
        if known is None:
            return
        counts: Counter[tuple[str, str]] = Counter()
        for run in known.runs:
            counts[run.experiment, run.status] += 1
            about = {
                "ml.mlflow.experiment.name": run.experiment,
                "ml.mlflow.run.id": run.id,
                "ml.mlflow.run.name": run.name,
            }
            for name, value in run.metrics:
                recorder.record(RUN_METRIC, value, {**about, "ml.mlflow.metric": name})
            if run.started:
                took = ((run.ended or now // 1_000_000) - run.started) / 1000
                recorder.record(RUN_DURATION, max(took, 0.0), {**about, "ml.mlflow.run.status": run.status})
        for (experiment, status), count in counts.items():
            recorder.record(RUNS, count, {"ml.mlflow.experiment.name": experiment, "ml.mlflow.run.status": status})
        recorder.record(MODELS, len(known.models))
        for model in known.models:
            name = _text(model.get("name"))
            for of_what, version in _versions(model):
                recorder.record(VERSION, version, {"ml.model.name": name, **of_what})
        self._tell(known.runs, recorder)

    def _tell(self, runs: list[_Run], recorder: Recorder) -> None:
        """Record each change of a run's state, once; runs that were there at the start have not changed."""
        before, self._statuses = self._statuses, {run.id: run.status for run in runs}
        oldest, full = self._oldest, len(runs) >= self._source.max_runs
        self._oldest = min(run.started for run in runs) if full and runs else 0
        if before is None:
            return
        for run in runs:
            was = before.get(run.id, "")
            if was == run.status or (not was and run.started < oldest):  # that came into sight as others were deleted
                continue
            about = {
                "ml.mlflow.experiment.name": run.experiment,
                "ml.mlflow.run.id": run.id,
                "ml.mlflow.run.name": run.name,
                "ml.mlflow.run.status": run.status,
            }
            if was:
                about["ml.mlflow.run.status.previous"] = was
            recorder.event(
                "ml.mlflow.run",
                f"run {run.name or run.id} of {run.experiment}: {f'{was} -> ' if was else ''}{run.status}",
                about,
                time=(run.ended or (0 if was else run.started)) * 1_000_000,
                severity=_SEVERITIES.get(run.status, 9),
            )

    async def _experiments(self) -> tuple[dict[str, str], str]:
        """The names of the experiments by their ids, and what to say of those that are not there."""
        if self._source.experiments:
            return await self._named_experiments()
        body = {"order_by": ["last_update_time DESC"]}
        pages = self._pages("experiments/search", "experiments", body, self._source.max_experiments)
        return {_text(one.get("experiment_id")): _text(one.get("name")) async for one in pages}, ""

    async def _named_experiments(self) -> tuple[dict[str, str], str]:
        found: dict[str, str] = {}
        away: list[str] = []
        for name in self._source.experiments:
            try:
                answer = _decode(await self._web.ask("api/2.0/mlflow/experiments/get-by-name", experiment_name=name))
            except StatusError as error:
                if error.status != HTTPStatus.NOT_FOUND:
                    raise
                away.append(name)
            else:
                found[_text(_object(answer.get("experiment")).get("experiment_id"))] = name
        return found, f"no experiment {', '.join(away)}" if away else ""

    async def _runs(self, experiments: Mapping[str, str]) -> AsyncIterator[_Run]:
        body = {"experiment_ids": list(experiments), "order_by": ["attributes.start_time DESC"]}
        async for run in self._pages("runs/search", "runs", body, self._source.max_runs):
            info, data = _object(run.get("info")), _object(run.get("data"))
            metrics = sorted(_metrics(data.get("metrics")))
            yield _Run(
                _text(info.get("run_id")),
                _text(info.get("run_name")),
                experiments.get(_text(info.get("experiment_id")), ""),
                _text(info.get("status")),
                _integer(info.get("start_time")),
                _integer(info.get("end_time")),
                metrics[: self._source.max_metrics],
            )

    async def _models(self) -> AsyncIterator[Mapping[str, Any]]:
        token, left = "", self._source.max_models
        for _ in range(_MOST_PAGES):
            if left <= 0:
                return
            query = {"max_results": str(min(left, _MODEL_PAGE))} | ({"page_token": token} if token else {})
            answer = _decode(await self._web.ask("api/2.0/mlflow/registered-models/search", **query))
            for model in _list(answer.get("registered_models"))[:left]:
                yield model
                left -= 1
            token = _text(answer.get("next_page_token"))
            if not token:
                return

    async def _pages(self, path: str, key: str, body: dict[str, Any], most: int) -> AsyncIterator[Mapping[str, Any]]:
        """The members of a list that comes in pages, `most` at most."""
        left = most
        for _ in range(_MOST_PAGES):
            if left <= 0:
                return
            answer = _decode(await self._web.ask(f"api/2.0/mlflow/{path}", {**body, "max_results": min(left, _PAGE)}))
            for one in _list(answer.get(key))[:left]:
                yield one
                left -= 1
            token = answer.get("next_page_token")
            if not isinstance(token, str) or not token:
                return
            body = {**body, "page_token": token}


def _decode(answer: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(answer)
    except ValueError:
        raise OSError("the answer is no JSON; is this an MLflow server?") from None
    return _object(found)


def _versions(model: Mapping[str, Any]) -> list[tuple[dict[str, str], int]]:
    """The newest version, those of aliases and those in stages, each with the attributes that say which it is."""
    latest = [
        (_text(one.get("current_stage")), _integer(one.get("version"))) for one in _list(model.get("latest_versions"))
    ]
    found: list[tuple[dict[str, str], int]] = []
    if latest:
        found.append(({}, max(version for _, version in latest)))
    stages = {stage: version for stage, version in sorted(latest) if stage and stage != "None"}
    found += [({"ml.mlflow.model.stage": stage}, version) for stage, version in stages.items()]
    for alias in _list(model.get("aliases")):
        found.append(({"ml.mlflow.model.alias": _text(alias.get("alias"))}, _integer(alias.get("version"))))
    return found


def _metrics(given: Any) -> list[tuple[str, float]]:
    found = []
    for metric in _list(given):
        value: Any = metric.get("value")
        try:
            number = float(value)  # protobuf's JSON has "NaN" and "Infinity" as texts
        except (TypeError, ValueError, OverflowError):
            continue
        if math.isfinite(number):
            found.append((_text(metric.get("key")), number))
    return found


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value[:_LONGEST] if isinstance(value, str) else ""


def _integer(value: Any) -> int:
    try:
        return min(max(int(value), 0), 2**53)
    except (TypeError, ValueError, OverflowError):
        return 0
