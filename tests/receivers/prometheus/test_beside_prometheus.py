"""Beside a real Prometheus that scrapes the same targets by the same rules."""

from __future__ import annotations

import asyncio
import math
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from sluiceway.receivers.prometheus.scrape import Answer, Client, Request, families
from tests.receivers.prometheus.bench import Bench, Page, ended, value
from tests.receivers.prometheus.test_scraping import registry
from tests.servers.prometheus import PrometheusServer, fetch, node_exporter, prometheus_server

RULES = """
    relabel_configs:
      - {source_labels: [__address__], regex: '(.+):([0-9]+)', target_label: port, replacement: '$2'}
      - {source_labels: [job, port], separator: '-', target_label: joined, action: uppercase}
      - {source_labels: [port], modulus: 7, target_label: shard, action: hashmod}
      - {regex: 'team_(.+)', replacement: 'own_${1}', action: labelmap}
      - {regex: 'team_.*', action: labeldrop}
    metric_relabel_configs:
      - {source_labels: [__name__], regex: 'python_.*|process_.*', action: drop}
      - {source_labels: [method], target_label: method, action: lowercase}
      - {source_labels: [le], regex: '1\\.0', target_label: whole, replacement: 'yes'}
      - {source_labels: [shard], target_label: own_x, action: dropequal}
"""
"""Rules of nearly every action."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """A Prometheus that scrapes itself, which gives its own figures something to say."""
    yaml = "{global: {scrape_interval: 200ms, scrape_timeout: 200ms}, scrape_configs: [{job_name: self}]}"
    with prometheus_server(tmp_path_factory.mktemp("prometheus"), yaml) as running:
        yield running


def flat(found: dict[str, Any]) -> dict[tuple[tuple[str, str], ...], float]:
    """Points as Prometheus' series, by their labels."""
    series: dict[tuple[tuple[str, str], ...], float] = {}
    for name, entries in found.items():
        for entry in entries:
            base = entry["attributes"] | {"job": entry["resource"]["service.name"]}
            base |= {"instance": entry["resource"]["service.instance.id"]}
            for suffix, more, number in parts(entry["point"], entry["value"]):
                series[tuple(sorted({**base, **more, "__name__": name + suffix}.items()))] = number
    return series


def parts(point: Any, value: float | None) -> Iterator[tuple[str, dict[str, str], float]]:
    """The series of one point: suffix, further labels, value."""
    if value is not None:
        yield "", {}, value
        return
    yield "_count", {}, point.count
    yield "_sum", {}, point.sum
    if hasattr(point, "quantile_values"):
        for quantile in point.quantile_values:
            yield "", {"quantile": f"{quantile.quantile:g}"}, quantile.value
        return
    total = 0
    for bound, count in zip([*point.explicit_bounds, math.inf], point.bucket_counts, strict=True):
        total += count
        yield "_bucket", {"le": "+Inf" if bound == math.inf else repr(bound)}, total


async def asked(server: PrometheusServer, expression: str, least: int = 1) -> list[dict[str, Any]]:
    """What Prometheus knows, as soon as it knows something."""
    deadline = asyncio.get_running_loop().time() + 20
    while len(found := await asyncio.to_thread(server.query, expression)) < least:
        assert asyncio.get_running_loop().time() < deadline, found
        await asyncio.sleep(0.05)
    return found


async def test_series_and_values_are_those_of_prometheus(tmp_path: Path) -> None:
    """The same target by the same rules: the same series with the same values, and the same figures of the scrape."""
    async with Page(generate_latest(registry())) as page:
        job = textwrap.dedent(f"""
            - job_name: api
              static_configs: [{{targets: ['{page.endpoint}'], labels: {{team_name: t, own_x: q}}}}]
        """) + textwrap.indent(textwrap.dedent(RULES), "  ")
        yaml = "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\nscrape_configs:" + textwrap.indent(job, "  ")
        async with Bench(job) as bench:
            ours = flat(await bench.next())
        with prometheus_server(tmp_path, yaml) as server:
            await asked(server, 'scrape_series_added{job="api"} >= 0')
            theirs = {
                tuple(sorted(entry["metric"].items())): float(entry["value"][1])
                for entry in await asked(server, '{job="api"}', 10)
            }
            page.body = "left 1\nbad{ 1\n"
            assert len(await asked(server, 'up{job="api"} == 0')) == 1
    theirs = {key: number for key, number in theirs.items() if dict(key)["__name__"] != "target_info"}
    changing = ("scrape_duration_seconds", "scrape_series_added")
    steady = [{k: v for k, v in found.items() if dict(k)["__name__"] not in changing} for found in (ours, theirs)]
    marked = [{k: v for k, v in found.items() if "whole" not in dict(k)} for found in steady]
    assert marked[0] == marked[1]
    assert ours.keys() | {k for k in theirs if "whole" in dict(k)} >= theirs.keys()


async def test_series_end_when_those_of_prometheus_do(tmp_path: Path) -> None:
    """What vanishes, and what a failed scrape leaves, is stale there and flagged here."""
    async with Page("a 1\nb 2\n") as page:
        job = f"[{{job_name: api, static_configs: [{{targets: ['{page.endpoint}']}}]}}]"
        yaml = f"{{global: {{scrape_interval: 100ms, scrape_timeout: 100ms}}, scrape_configs: {job}}}"
        with prometheus_server(tmp_path, yaml) as server:
            async with Bench(job) as bench:
                await asked(server, '{job="api"}', 7)
                page.body = "a 1\n"
                assert ended(await bench.next(lambda found: "b" in found and ended(found, "b")), "b")
                await asked(server, "absent(b)")
                page.status = 503
                found = await bench.next(lambda found: value(found, "up") == 0)
                assert ended(found, "a")
                await asked(server, "up == 0")
                assert await asked(server, "absent(a)")
                page.status = 200
                assert value(await bench.next(lambda found: "a" in found), "a") == 1
                await asked(server, "a == 1")


async def test_protobuf_of_a_go_program_says_what_its_text_says(server: PrometheusServer) -> None:
    """Prometheus' own metrics are the same families and series in both formats."""
    async with Client() as client:
        found = {}
        for protocol in ("PrometheusProto", "PrometheusText0.0.4"):
            answer: Answer = await client.get(f"{server.url}/metrics", Request([protocol]))
            assert answer.format.value == ("protobuf" if protocol == "PrometheusProto" else "text")
            found[protocol] = {
                (family.name, family.type, family.help): {
                    (sample.name, *sorted((n, bound(n, v)) for n, v in sample.labels.items()))
                    for sample in family.samples
                    if not sample.name.endswith("_created")
                }
                for family in families(answer)
                if not family.name.startswith(("http_", "promhttp", "prometheus_http", "net_"))
            }
    proto, text = found.values()
    proto = {key: series for key, series in proto.items() if not key[0].endswith("_created")}
    assert len(text) > 120
    assert {key[:2] for key in proto} == {key[:2] for key in text}
    assert proto == text


def bound(name: str, text: str) -> str | float:
    """A bound as a number, which formats write differently."""
    return float(text) if name in ("le", "quantile") else text


async def test_protobuf_becomes_the_points_that_text_becomes(server: PrometheusServer) -> None:
    """A scrape of a Go program in protobuf gives the same metrics and attributes as one in text."""
    names = []
    for protocol in ("PrometheusProto", "PrometheusText0.0.4"):
        job = (
            f"[{{job_name: go, static_configs: [{{targets: ['{server.endpoint}']}}], scrape_protocols: [{protocol}]}}]"
        )
        async with Bench(job) as bench:
            found = await bench.next()
        assert value(found, "up") == 1
        names.append({name for name in found if name.startswith(("go_", "prometheus_tsdb_", "process_"))})
        started = found["process_start_time_seconds"][0]["value"]
        assert 0 < started < 1e11
        counter = found["prometheus_tsdb_head_chunks_created_total"][0]["point"]
        assert counter.start_time_unix_nano
    assert names[0] == names[1]


async def test_a_whole_machine_is_scraped() -> None:
    """Every line of the node exporter is a series, and each second scrape adds none."""
    with node_exporter() as endpoint:
        job = f"[{{job_name: node, scrape_interval: 500ms, static_configs: [{{targets: ['{endpoint}']}}]}}]"
        async with Bench(job) as bench:
            found = await bench.next()
            again = await bench.next()
        shown = await asyncio.to_thread(fetch, f"http://{endpoint}/metrics")
    lines = [line for line in shown.decode().splitlines() if not line.startswith("#")]
    assert abs((value(found, "scrape_samples_scraped") or 0) - len(lines)) < 20
    assert value(again, "up") == 1
    assert (value(again, "scrape_series_added") or 0) < 20
    memory = float(next(line for line in lines if line.startswith("node_memory_MemTotal_bytes ")).split()[1])
    assert value(found, "node_memory_MemTotal_bytes") == memory
