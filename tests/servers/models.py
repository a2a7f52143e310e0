"""scikit-learn models behind FastAPI that log what they predict: `python -m tests.servers.models <port>`.

It sends its log records by the official SDK to the OTLP/HTTP endpoint in `OTEL_EXPORTER_OTLP_ENDPOINT`. A POST to
`/<model>/predict` with `{"id": ..., "row": ...}` has a row of the model's test data predicted; one to `/labels` with a
list of `{"id": ..., "label": ...}` logs ground truths in that order; at `/flush` all records are sent.
"""

from __future__ import annotations

import sys
import time
from functools import cache
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from pydantic import BaseModel
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

DATA = {"breast_cancer": load_breast_cancer, "wine": load_wine, "diabetes": load_diabetes}


@cache
def trained(name: str) -> tuple[Any, Any, Any, list[str]]:
    """A model, its test data and labels, and the names of its first features; the same in every process."""
    data = DATA[name]()
    x, rest, y, truth = train_test_split(data.data, data.target, test_size=0.5, random_state=7)
    chosen = LinearRegression() if name == "diabetes" else LogisticRegression(max_iter=1000, C=0.01)
    model = make_pipeline(StandardScaler(), chosen).fit(x, y)
    return model, rest, truth, [str(feature) for feature in data.feature_names[:4]]


class Asked(BaseModel):
    """One prediction."""

    id: str
    row: int


class Told(BaseModel):
    """One ground truth."""

    id: str
    label: float | int


def application(provider: LoggerProvider) -> FastAPI:
    """The application."""
    app = FastAPI()
    logger = provider.get_logger("models")

    @app.post("/{name}/predict")
    def predict(name: str, asked: Asked) -> float:
        began = time.perf_counter()
        model, rest, _, features = trained(name)
        row = rest[asked.row : asked.row + 1]
        attributes: dict[str, Any] = {
            "ml.model.name": name,
            "ml.model.version": "7",
            "ml.prediction.id": asked.id,
            "half": "first" if asked.row % 2 == 0 else "second",
            **{f"ml.feature.{feature}": float(value) for feature, value in zip(features, row[0], strict=False)},
        }
        predicted = model.predict(row)[0]
        if name == "diabetes":
            attributes["ml.prediction.label"] = float(predicted)
        elif name == "breast_cancer":
            attributes["ml.prediction.score"] = float(model.predict_proba(row)[0, 1])
        else:
            attributes["ml.prediction.label"] = int(predicted)
            for label, share in enumerate(model.predict_proba(row)[0]):
                attributes[f"ml.prediction.probability.{label}"] = float(share)
        attributes["ml.inference.duration"] = time.perf_counter() - began
        logger.emit(LogRecord(timestamp=time.time_ns(), event_name="ml.prediction", attributes=attributes))
        return float(predicted)

    @app.post("/labels")
    def labels(told: list[Told]) -> None:
        for one in told:
            attributes = {
                "event.name": "ml.ground_truth",
                "ml.prediction.id": one.id,
                "ml.ground_truth.label": one.label,
            }
            logger.emit(LogRecord(timestamp=time.time_ns(), attributes=attributes))

    @app.get("/flush")
    def flush() -> bool:
        return provider.force_flush()

    return app


def main() -> None:
    """Serve."""
    np.seterr(all="ignore")
    provider = LoggerProvider(resource=Resource({"service.name": "models"}))
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    uvicorn.run(application(provider), host="127.0.0.1", port=int(sys.argv[1]), log_level="error")


if __name__ == "__main__":
    main()
