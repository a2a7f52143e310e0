"""The metrics of MLflow and of inference servers, beside those of the engine, and the attributes of resources."""

from __future__ import annotations

from typing import Final

from sluiceway.ml import METRICS as ENGINE
from sluiceway.scraping import Metric, ResourceAttribute, counter, gauge, histogram

__all__ = [
    "ACTIVE", "BATCHES", "CACHE", "DURATION", "FAILURES", "FIRST_TOKEN", "GPU", "GPU_LIMIT", "GPU_MEMORY",
    "INFERENCES", "METRICS", "MODELS", "OUTPUT_TOKEN", "PHASES", "REQUESTS", "RESOURCE", "RUNS", "RUN_DURATION",
    "RUN_METRIC", "TIME", "TOKENS", "UP", "VERSION", "WAITING",
]  # fmt: skip

_MODEL: Final = ("ml.model.name", "ml.model.version")
_RUN: Final = ("ml.mlflow.experiment.name", "ml.mlflow.run.id", "ml.mlflow.run.name")

RUN_METRIC = gauge(
    "ml.mlflow.run.metric", "1", "The latest value of a run's metric, which `ml.mlflow.metric` names.",
    *_RUN, "ml.mlflow.metric", value=float,
)  # fmt: skip
RUN_DURATION = gauge(
    "ml.mlflow.run.duration", "s", "How long a run took, or has taken so far.", *_RUN, "ml.mlflow.run.status",
    value=float,
)  # fmt: skip
RUNS = gauge(
    "ml.mlflow.runs", "{run}", "The runs that are looked at, by their state.",
    "ml.mlflow.experiment.name", "ml.mlflow.run.status",
)  # fmt: skip
MODELS = gauge("ml.mlflow.models", "{model}", "The registered models that are looked at.")
VERSION = gauge(
    "ml.mlflow.model.version", "1",
    "The newest version of a registered model, that of each of its aliases, and the newest in each stage.",
    "ml.model.name", "ml.mlflow.model.alias", "ml.mlflow.model.stage",
)  # fmt: skip

UP = gauge("ml.inference.up", "1", "Whether an inference server could be asked: 1 or 0.")
REQUESTS = counter(
    "ml.inference.requests", "{request}", "Requests that ended, failed ones included; `reason` is why they ended.",
    *_MODEL, "reason",
)  # fmt: skip
FAILURES = counter("ml.inference.failures", "{request}", "Requests that failed.", *_MODEL, "reason")
INFERENCES = counter("ml.inference.inferences", "{inference}", "Inferences; a request may hold several.", *_MODEL)
BATCHES = counter("ml.inference.batches", "{batch}", "Batches in which inferences were made.", *_MODEL)
DURATION: Final = next(metric for metric in ENGINE if metric.name == "ml.inference.duration")
PHASES = histogram(
    "ml.inference.phase.duration", "s",
    "How long one `phase` of a request took: queue, preprocess, prefill, decode, postprocess or explain.",
    *_MODEL, "phase",
)  # fmt: skip
TIME = counter(
    "ml.inference.time", "s",
    "The time that requests took together, in one `phase`: total, queue, input, compute or output.",
    *_MODEL, "phase", value=float,
)  # fmt: skip
WAITING = gauge("ml.inference.queue.size", "{request}", "Requests that wait.", *_MODEL)
ACTIVE = gauge("ml.inference.active", "{request}", "Requests that are being worked on.", *_MODEL)
TOKENS = counter("ml.inference.tokens", "{token}", "Tokens, of the `type` input or output.", *_MODEL, "type")
FIRST_TOKEN = histogram(
    "ml.inference.time_to_first_token", "s", "Time from a request to the first token of its answer.", *_MODEL
)
OUTPUT_TOKEN = histogram(
    "ml.inference.time_per_output_token", "s", "Time from one token of an answer to the next.", *_MODEL
)
CACHE = gauge(
    "ml.inference.cache.utilization", "1", "The share of the cache for keys and values that is in use.", *_MODEL,
    value=float,
)  # fmt: skip
GPU = gauge("ml.inference.gpu.utilization", "1", "The share of time in which a GPU was busy.", "gpu", value=float)
GPU_MEMORY = gauge("ml.inference.gpu.memory.usage", "By", "A GPU's memory in use.", "gpu")
GPU_LIMIT = gauge("ml.inference.gpu.memory.limit", "By", "A GPU's memory.", "gpu")

_MLFLOW: Final = (RUN_METRIC, RUN_DURATION, RUNS, MODELS, VERSION)
_SERVERS: Final = (
    UP, REQUESTS, FAILURES, INFERENCES, BATCHES, PHASES, TIME, WAITING, ACTIVE, TOKENS, FIRST_TOKEN, OUTPUT_TOKEN,
    CACHE, GPU, GPU_MEMORY, GPU_LIMIT,
)  # fmt: skip
METRICS: Final[tuple[Metric, ...]] = (*ENGINE, *_MLFLOW, *_SERVERS)
RESOURCE: Final = (
    ResourceAttribute("ml.source", "The name of the source in the configuration; of MLflow and inference servers."),
    ResourceAttribute("server.address", "The host of MLflow, or of the inference server."),
    ResourceAttribute("server.port", "Its port."),
)
