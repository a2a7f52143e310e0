"""What inference servers call their metrics, and what we call them.

Triton: https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/metrics.html.
vLLM: https://docs.vllm.ai/en/latest/design/metrics.html. TorchServe: https://pytorch.org/serve/metrics.html.
KServe: the Python server's https://github.com/kserve/kserve/blob/master/python/kserve/kserve/metrics.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sluiceway.receivers.ml_model.metrics import (
    ACTIVE,
    BATCHES,
    CACHE,
    DURATION,
    FAILURES,
    FIRST_TOKEN,
    GPU,
    GPU_LIMIT,
    GPU_MEMORY,
    INFERENCES,
    OUTPUT_TOKEN,
    PHASES,
    REQUESTS,
    TIME,
    TOKENS,
    WAITING,
)
from sluiceway.scraping import Metric

__all__ = ["PRESETS", "Preset", "Rule"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One of our metrics, and what it is made of. Series that become alike are added up."""

    metric: Metric
    names: tuple[str, ...]
    """What the server calls it; of several, which are the names of several versions, the first that is there counts."""
    fixed: Mapping[str, str] = field(default_factory=dict)
    """Attributes that are always the same."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Attributes that are labels of the server's, by the label."""
    where: tuple[str, str] = ("", "")
    """A label, and the value that it must have."""
    scale: float = 1.0
    largest: bool = False
    """Whether the largest of series that become alike is taken, instead of their sum."""


@dataclass(frozen=True, slots=True)
class Preset:
    """The metrics of one kind of server."""

    rules: tuple[Rule, ...]
    model: str
    """The label that names the model."""
    version: str = ""
    """The label that names its version."""


_MICRO: Final = 1e-6
_GPU: Final = {"gpu_uuid": "gpu"}


def _triton_time(name: str, phase: str) -> Rule:
    return Rule(TIME, (f"nv_inference_{name}_duration_us",), {"phase": phase}, scale=_MICRO)


def _vllm_phase(phase: str) -> Rule:
    return Rule(PHASES, (f"vllm:request_{phase}_time_seconds",), {"phase": phase})


_TRITON: Final = Preset(
    (
        Rule(REQUESTS, ("nv_inference_request_success",)),
        Rule(REQUESTS, ("nv_inference_request_failure",)),
        Rule(FAILURES, ("nv_inference_request_failure",), labels={"reason": "reason"}),
        Rule(INFERENCES, ("nv_inference_count",)),
        Rule(BATCHES, ("nv_inference_exec_count",)),
        _triton_time("request", "total"),
        _triton_time("queue", "queue"),
        _triton_time("compute_input", "input"),
        _triton_time("compute_infer", "compute"),
        _triton_time("compute_output", "output"),
        Rule(WAITING, ("nv_inference_pending_request_count",)),
        Rule(GPU, ("nv_gpu_utilization",), labels=_GPU, largest=True),
        Rule(GPU_MEMORY, ("nv_gpu_memory_used_bytes",), labels=_GPU, largest=True),
        Rule(GPU_LIMIT, ("nv_gpu_memory_total_bytes",), labels=_GPU, largest=True),
    ),
    "model",
    "version",
)
_VLLM: Final = Preset(
    (
        Rule(REQUESTS, ("vllm:request_success_total",), labels={"finished_reason": "reason"}),
        Rule(FAILURES, ("vllm:request_success_total",), {"reason": "error"}, where=("finished_reason", "error")),
        Rule(DURATION, ("vllm:e2e_request_latency_seconds",)),
        _vllm_phase("queue"),
        _vllm_phase("prefill"),
        _vllm_phase("decode"),
        Rule(FIRST_TOKEN, ("vllm:time_to_first_token_seconds",)),
        Rule(OUTPUT_TOKEN, ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds")),
        Rule(TOKENS, ("vllm:prompt_tokens_total",), {"type": "input"}),
        Rule(TOKENS, ("vllm:generation_tokens_total",), {"type": "output"}),
        Rule(WAITING, ("vllm:num_requests_waiting",)),
        Rule(ACTIVE, ("vllm:num_requests_running",)),
        Rule(CACHE, ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"), largest=True),
    ),
    "model_name",
)
_TORCHSERVE: Final = Preset(
    (
        Rule(REQUESTS, ("ts_inference_requests_total",)),
        Rule(FAILURES, ("Requests4XX",), {"reason": "4xx"}),
        Rule(FAILURES, ("Requests5XX",), {"reason": "5xx"}),
        Rule(TIME, ("ts_inference_latency_microseconds",), {"phase": "total"}, scale=_MICRO),
        Rule(TIME, ("ts_queue_latency_microseconds",), {"phase": "queue"}, scale=_MICRO),
    ),
    "model_name",
    "model_version",
)
_KSERVE: Final = Preset(
    (
        Rule(REQUESTS, ("request_predict_seconds_count",)),
        Rule(DURATION, ("request_predict_seconds",)),
        Rule(PHASES, ("request_preprocess_seconds",), {"phase": "preprocess"}),
        Rule(PHASES, ("request_postprocess_seconds",), {"phase": "postprocess"}),
        Rule(PHASES, ("request_explain_seconds",), {"phase": "explain"}),
    ),
    "model_name",
)
PRESETS: Final = {"triton": _TRITON, "vllm": _VLLM, "torchserve": _TORCHSERVE, "kserve": _KSERVE}
