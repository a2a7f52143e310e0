"""scikit-learn models behind FastAPI that write what they predict to a file: `python -m tests.servers.scored`.

The arguments are the port and the file, which gets a line of JSON for each prediction. A POST to `/<model>/predict`
with `{"id": ..., "row": ...}` has a row of the model's test data predicted.
"""

from __future__ import annotations

import json
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

__all__ = ["DATA", "predicted", "trained"]

DATA = {"breast_cancer": load_breast_cancer, "wine": load_wine, "diabetes": load_diabetes}


@cache
def trained(name: str) -> tuple[Any, Any, Any]:
    """A model, its test data and labels; the same in every process."""
    data = DATA[name]()
    x, rest, y, truth = train_test_split(data.data, data.target, test_size=0.5, random_state=11)
    chosen = LinearRegression() if name == "diabetes" else LogisticRegression(max_iter=1000, C=0.01)
    return make_pipeline(StandardScaler(), chosen).fit(x, y), rest, truth


def predicted(name: str, row: int) -> dict[str, Any]:
    """What a model says of one row."""
    model, rest, _ = trained(name)
    one = rest[row : row + 1]
    found: dict[str, Any] = {"prediction": model.predict(one)[0].item()}
    if name == "breast_cancer":
        found["score"] = float(model.predict_proba(one)[0, 1])
    elif name == "wine":
        found["probabilities"] = {str(number): float(p) for number, p in enumerate(model.predict_proba(one)[0])}
    return found


class Asked(BaseModel):
    """One prediction."""

    id: str
    row: int


def application(file: Path) -> FastAPI:
    """The application."""
    app = FastAPI()

    @app.post("/{name}/predict")
    async def predict(name: str, asked: Asked) -> dict[str, Any]:
        began = time.perf_counter()
        found = predicted(name, asked.row)
        record = {
            "timestamp": time.time(),
            "prediction_id": asked.id,
            "model_name": name,
            "model_version": "7",
            **found,
            "latency": time.perf_counter() - began,
            "features": {"row": asked.row},
            "half": "first" if asked.row % 2 == 0 else "second",
        }
        with file.open("a") as out:
            out.write(json.dumps(record) + "\n")
        return found

    return app


if __name__ == "__main__":
    np.seterr(all="ignore")
    uvicorn.run(application(Path(sys.argv[2])), host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
