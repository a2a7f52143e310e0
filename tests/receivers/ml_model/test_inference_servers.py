"""Inference servers: recorded pages of real ones, and one made with vLLM's own library, served by HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import prometheus_client as prometheus
import pytest
from aiohttp import web

from sluiceway.component import Status, SystemClock
from tests.ports import free_port
from tests.receivers.ml_model.bench import Bench, Points

PAGES = Path(__file__).with_name("pages")


@asynccontextmanager
async def serving(answer: Callable[[web.Request], Any], path: str = "/metrics") -> AsyncIterator[str]:
    """The URL of `/metrics` on a server whose answers a function gives."""
    application = web.Application()

    async def handle(request: web.Request) -> web.StreamResponse:
        given = answer(request)
        if asyncio.iscoroutine(given):
            given = await given
        return given if isinstance(given, web.StreamResponse) else web.Response(body=given)

    application.router.add_route("*", path, handle)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"
    finally:
        await runner.cleanup()


def bench(preset: str, endpoint: str, more: str = "") -> Bench:
    """A receiver that asks one server."""
    return Bench(f"{{inference_servers: {{s: {{preset: {preset}, endpoint: '{endpoint}', {more}}}}}}}")


def series(found: Points, name: str, *keys: str) -> dict[Any, Any]:
    """The values of a metric by some attributes, without those that are the same for all."""
    chosen = keys or ("ml.model.name",)
    return {
        tuple(point["attributes"].get(key, "") for key in chosen) if len(chosen) > 1
        else point["attributes"].get(chosen[0], ""): point["value"]
        for point in found.get(name, [])
    }  # fmt: skip


async def measured(preset: str, page: bytes | str, more: str = "") -> tuple[Points, Bench]:
    """What is measured of a page."""
    async with serving(lambda _: page) as url, bench(preset, url, more) as running:
        return await running.measure(), running


async def test_triton() -> None:
    """Instances of a model on several GPUs are added up, and microseconds become seconds."""
    found, running = await measured("triton", (PAGES / "triton.txt").read_bytes())
    assert running.status == (Status.OK, "")
    keys = ("ml.model.name", "ml.model.version")
    models = {("gpt_neo_cola_ensemble", "1"): 1208, ("distilgpt2_cola", "0"): 604}
    assert series(found, "ml.inference.requests", *keys) == models
    assert series(found, "ml.inference.inferences", *keys) == models
    assert series(found, "ml.inference.batches", *keys) == models
    assert set(series(found, "ml.inference.failures").values()) == {0}
    assert series(found, "ml.inference.time", "ml.model.name", "phase") == pytest.approx({
        ("gpt_neo_cola_ensemble", "total"): 389.818096, ("distilgpt2_cola", "total"): 192.86217,
        ("gpt_neo_cola_ensemble", "queue"): 0.000089, ("distilgpt2_cola", "queue"): 0.065956,
        ("gpt_neo_cola_ensemble", "input"): 4.525558, ("distilgpt2_cola", "input"): 0.015907,
        ("gpt_neo_cola_ensemble", "compute"): 380.808577, ("distilgpt2_cola", "compute"): 192.747598,
        ("gpt_neo_cola_ensemble", "output"): 4.233759, ("distilgpt2_cola", "output"): 0.031389,
    })  # fmt: skip
    memory = series(found, "ml.inference.gpu.memory.usage", "gpu")
    assert memory["GPU-71ce41fd-3ac0-afe7-c995-21119f1e984a"] == 7451181056
    assert len(memory) == len(series(found, "ml.inference.gpu.utilization", "gpu")) == 4
    assert set(series(found, "ml.inference.gpu.memory.limit", "gpu").values()) == {16944988160}
    assert found["ml.inference.up"][0]["value"] == 1
    assert found["ml.inference.up"][0]["resource"]["ml.source"] == "s"


async def test_torchserve() -> None:
    """Its own words for a version, and errors that it does not tell apart by model."""
    found, running = await measured("torchserve", (PAGES / "torchserve.txt").read_bytes())
    assert running.status == (Status.OK, "")
    assert series(found, "ml.inference.requests", "ml.model.name", "ml.model.version") == {("mnist", "default"): 1}
    assert series(found, "ml.inference.time", "phase") == pytest.approx({"total": 0.064694367, "queue": 0.00011579})
    assert series(found, "ml.inference.failures", "reason") == {"4xx": 2}


async def test_kserve() -> None:
    """Histograms stay what they are, and count since the process began."""
    found, running = await measured("kserve", (PAGES / "kserve.txt").read_bytes(), "model_version: v7")
    assert running.status == (Status.OK, "")
    (predict,) = found["ml.inference.duration"]
    assert predict["attributes"] == {"ml.model.name": "custom-server-test", "ml.model.version": "v7"}
    point = predict["point"]
    assert (point.count, point.sum) == (3, 6.006712835282087)
    assert dict(zip(point.explicit_bounds, point.bucket_counts, strict=False))[2.5] == 3
    assert sum(point.bucket_counts) == 3
    assert point.start_time_unix_nano // 1000 == 1671066409309999
    assert series(found, "ml.inference.requests") == {"custom-server-test": 3}
    assert set(series(found, "ml.inference.phase.duration", "phase")) == {"preprocess", "postprocess"}


def vllm_page() -> bytes:
    """The page of a vLLM with two engines, as its metrics are declared."""
    registry = prometheus.CollectorRegistry()
    labels = ["model_name", "engine"]

    def make(kind: Any, name: str, *more: str, **options: Any) -> Any:
        return kind(f"vllm:{name}", "help", [*labels, *more], registry=registry, **options)

    running, waiting = (make(prometheus.Gauge, name) for name in ("num_requests_running", "num_requests_waiting"))
    cache = make(prometheus.Gauge, "kv_cache_usage_perc")
    prompt, generated = (make(prometheus.Counter, name) for name in ("prompt_tokens", "generation_tokens"))
    success = make(prometheus.Counter, "request_success", "finished_reason")
    names = (
        "e2e_request_latency_seconds", "time_to_first_token_seconds", "inter_token_latency_seconds",
        "time_per_output_token_seconds", "request_queue_time_seconds", "request_prefill_time_seconds",
        "request_decode_time_seconds",
    )  # fmt: skip
    histograms = [make(prometheus.Histogram, name, buckets=[0.1, 1, 10]) for name in names]
    for engine in ("0", "1"):
        running.labels("llama", engine).set(3)
        waiting.labels("llama", engine).set(2)
        cache.labels("llama", engine).set(0.25 + int(engine) / 2)
        prompt.labels("llama", engine).inc(100)
        generated.labels("llama", engine).inc(50)
        for reason, count in (("stop", 7), ("length", 2), ("error", 1)):
            success.labels("llama", engine, reason).inc(count)
        for histogram in histograms:
            histogram.labels("llama", engine).observe(0.5)
            histogram.labels("llama", engine).observe(20)
    return prometheus.generate_latest(registry)


async def test_vllm() -> None:
    """Engines are added up, the fullest cache counts, and names of two versions are not counted twice."""
    found, running = await measured("vllm", vllm_page())
    assert running.status == (Status.OK, "")
    assert series(found, "ml.inference.requests", "reason") == {"stop": 14, "length": 4, "error": 2}
    assert series(found, "ml.inference.failures", "reason") == {"error": 2}
    assert series(found, "ml.inference.active") == {"llama": 6}
    assert series(found, "ml.inference.queue.size") == {"llama": 4}
    assert series(found, "ml.inference.cache.utilization") == {"llama": 0.75}
    assert series(found, "ml.inference.tokens", "type") == {"input": 200, "output": 100}
    assert set(series(found, "ml.inference.phase.duration", "phase")) == {"queue", "prefill", "decode"}
    for name in ("duration", "time_to_first_token", "time_per_output_token", "phase.duration"):
        point = found[f"ml.inference.{name}"][0]["point"]
        assert list(point.bucket_counts) == [0, 2, 0, 2]
        assert (point.count, point.sum) == (4, 41)


async def test_a_server_that_began_anew_counts_from_then() -> None:
    """A counter that fell says so, where the server does not."""
    values = [10, 20, 5, 6]
    page = 'nv_inference_count{{model="m",version="1"}} {}\n'
    async with serving(lambda _: page.format(values.pop(0))) as url, bench("triton", url) as running:
        starts = []
        for _ in range(4):
            found = await running.measure()
            starts.append(found["ml.inference.inferences"][0]["point"].start_time_unix_nano)
            await running.clock.advance(10)
    assert starts[0] == starts[1] < starts[2] == starts[3]
    assert starts[2] - starts[0] == 10 * 10**9


async def test_servers_that_do_not_answer_well() -> None:
    """Each is named, is told to be down, and costs the others nothing."""
    over = asyncio.Event()

    async def hang(_: web.Request) -> bytes:
        await over.wait()
        return b""

    answers = {
        "good": lambda _: (PAGES / "kserve.txt").read_bytes(),
        "denied": lambda _: web.Response(status=401),
        "garbage": lambda _: b"\xff\x00<html>{{{",
        "other": lambda _: b"up 1\n",
        "bomb": lambda _: b"# " + b"x" * (33 << 20),
        "moved": lambda _: web.Response(status=302, headers={"location": "http://127.0.0.1:1/"}),
        "hangs": hang,
    }  # fmt: skip
    async with AsyncExitStack() as stack:
        urls = {name: await stack.enter_async_context(serving(answer)) for name, answer in answers.items()}
        urls["away"] = f"http://127.0.0.1:{free_port()}/metrics"
        servers = ", ".join(f"{name}: {{preset: kserve, endpoint: '{url}', timeout: 1s}}" for name, url in urls.items())
        running = await stack.enter_async_context(Bench(f"{{inference_servers: {{{servers}}}}}", SystemClock()))
        found = await running.measure()
        over.set()
    up = {point["resource"]["ml.source"]: point["value"] for point in found["ml.inference.up"]}
    assert up == {**dict.fromkeys(urls, 0), "good": 1, "other": 1}
    status, text = running.status
    assert status is Status.OK
    for what in (
        "denied: /metrics: HTTP 401: credentials are needed", "other: the page has no metrics of kserve",
        "bomb: /metrics: the answer is longer than 32 MiB", "moved: /metrics: HTTP 302", "hangs: no answer within 1s",
        "away: 127.0.0.1:", "garbage: ",
    ):  # fmt: skip
        assert what in text
    assert "good" not in text


async def test_too_many_series_are_left_out() -> None:
    """And the status says so."""
    lines = "".join(f'nv_inference_count{{model="{n}",version="1"}} 1\n' for n in range(50))
    found, running = await measured("triton", lines, "max_series: 20")
    assert len(found["ml.inference.inferences"]) == 20
    assert "more than 20 series" in running.status[1]


async def test_hostile_numbers() -> None:
    """What is no number, or no histogram, is left out, and the rest stays."""
    page = """
request_predict_seconds_bucket{model_name="a",le="1"} 5
request_predict_seconds_bucket{model_name="a",le="2"} 3
request_predict_seconds_count{model_name="a"} 5
request_predict_seconds_count{model_name="b"} NaN
request_predict_seconds_count{model_name="c"} 1e300
request_predict_seconds_bucket{model_name="d",le="1"} 2
request_predict_seconds_bucket{model_name="d",le="+Inf"} 4
process_start_time_seconds -5
"""
    found, running = await measured("kserve", page)
    assert running.status == (Status.OK, "")
    assert series(found, "ml.inference.requests") == {"a": 5, "c": 1e300}
    points = {point["attributes"]["ml.model.name"]: point["point"] for point in found["ml.inference.duration"]}
    assert set(points) == {"d"}
    assert list(points["d"].bucket_counts) == [2, 2]


@pytest.mark.parametrize(
    ("more", "header"),
    [
        ("token: geheim", "Bearer geheim"),
        ("username: u, password: p", "Basic dTpw"),
        ("headers: {Authorization: Key x}", "Key x"),
    ],
)
async def test_credentials_are_sent(more: str, header: str) -> None:
    """As the settings say."""
    seen = []
    async with (
        serving(lambda request: seen.append(request.headers["authorization"]) or b"") as url,
        bench("vllm", url, more) as running,
    ):
        await running.measure()
    assert seen == [header]
