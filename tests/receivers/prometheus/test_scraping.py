"""Scraping: what becomes of targets' answers, in batches, status and log."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
from pathlib import Path

import trustme
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Summary, generate_latest
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from sluiceway.component import Reason, Status
from sluiceway.errors import RefusedError
from sluiceway.testing import settle
from tests.receivers.prometheus.bench import Bench, Page, ended, until, value

FIGURES = ("up", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling", "scrape_series_added")


def job(page: Page, more: str = "") -> str:
    """One job with the page as its target, and further settings of it."""
    return f"[{{job_name: api, static_configs: [{{targets: ['{page.endpoint}']}}]{more and ', ' + more}}}]"


def registry() -> CollectorRegistry:
    """Metrics of every type of the official client, with values."""
    made = CollectorRegistry()
    Counter("requests", "Requests.", ["method"], registry=made).labels("GET").inc(3)
    Gauge("temperature", "How warm.", unit="celsius", registry=made).set(-1.5)
    latency = Histogram("latency", "How long.", buckets=(0.1, 1.0), registry=made)
    latency.observe(0.05, {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331", "user": "u"})
    latency.observe(5.0)
    Summary("size", "How large.", registry=made).observe(7)
    Info("target", "Target", registry=made).info({"service_version": "1.2"})
    Info("build", "Build", registry=made).info({"branch": "main"})
    return made


async def test_the_text_of_the_official_client_becomes_the_same_figures() -> None:
    """Each type of metric is the one of OTLP that the specification has for it, with its texts and values."""
    async with Page(generate_latest(registry())) as page, Bench(job(page)) as bench:
        found = await bench.next()
    assert value(found, "requests_total", method="GET") == 3
    assert value(found, "temperature_celsius") == -1.5
    histogram = found["latency"][0]["point"]
    assert (list(histogram.explicit_bounds), list(histogram.bucket_counts)) == ([0.1, 1.0], [1, 0, 1])
    assert (histogram.count, histogram.sum) == (2, 5.05)
    assert (found["size"][0]["point"].count, found["size"][0]["point"].sum) == (1, 7)
    assert [value(found, name) for name in FIGURES[:1]] == [1]
    assert value(found, "scrape_samples_scraped") == value(found, "scrape_series_added") == 14
    port = page.endpoint.rpartition(":")[2]
    resource = found["temperature_celsius"][0]["resource"]
    assert resource == {
        "service.name": "api", "service.instance.id": page.endpoint, "server.port": port, "url.scheme": "http",
        "service_version": "1.2",
    }  # fmt: skip
    assert "target_info" not in found
    assert found["up"][0]["resource"] == resource


async def test_openmetrics_brings_start_times_exemplars_and_units() -> None:
    """`_created` is the start of a sum or distribution, and an exemplar's ids are those of a trace."""
    made = registry()
    async with Page(generate_openmetrics(made), OPENMETRICS) as page, Bench(job(page)) as bench:
        found = await bench.next()
        metrics = bench.sink.batches[0].proto().resource_metrics[0].scope_metrics[0].metrics
    created = {
        sample.name: sample.value
        for metric in made.collect()
        for sample in metric.samples
        if sample.name.endswith("_created")
    }
    for name, began in (("requests_total", "requests_created"), ("latency", "latency_created")):
        assert abs(found[name][0]["point"].start_time_unix_nano / 1e9 - created[began]) < 0.002
        assert began not in found
    exemplar = found["latency"][0]["point"].exemplars[0]
    assert (exemplar.trace_id.hex(), exemplar.span_id.hex()) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert (exemplar.as_double, exemplar.filtered_attributes[0].key) == (0.05, "user")
    assert {metric.name: metric.unit for metric in metrics}["temperature_celsius"] == "celsius"
    info = next(metric for metric in metrics if metric.name == "build")
    assert not info.sum.is_monotonic


async def test_a_series_that_vanishes_ends_with_one_point() -> None:
    """What is no longer shown gets one point without value and with the flag, and no more after that."""
    async with Page("a 1\nb 2\n") as page, Bench(job(page)) as bench:
        await bench.next(lambda found: value(found, "b") == 2)
        page.body = "a 1\n"
        found = await bench.next(lambda found: ended(found, "b"))
        assert value(found, "a") == 1
        assert "b" not in await bench.next()


async def test_a_distribution_that_vanishes_ends_with_one_point() -> None:
    """A histogram and a summary end as plain series do."""
    text = '# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le="+Inf"} 2\nh_sum 3\nh_count 2\n'
    text += '# TYPE s summary\ns{quantile="0.5"} 1\ns_sum 3\ns_count 2\n'
    async with Page(text) as page, Bench(job(page)) as bench:
        found = await bench.next()
        assert found["s"][0]["point"].quantile_values[0].value == 1
        page.body = "a 1\n"
        found = await bench.next(lambda found: ended(found, "h"))
        assert ended(found, "s")
        assert not {"h", "s"} & set(await bench.next())


async def test_a_target_that_is_away_is_down_until_it_is_back() -> None:
    """All its series end, `up` is 0, status and log say so once, and it comes back by itself."""
    page = Page("a 1\n")
    await page.__aenter__()
    async with Bench(job(page)) as bench:
        await bench.next(lambda found: value(found, "up") == 1)
        await page.__aexit__()
        found = await bench.next(lambda found: value(found, "up") == 0)
        assert ended(found, "a")
        assert [value(found, name) for name in FIGURES] == [0, 0, 0, 0]
        assert "a" not in await bench.next()
        assert bench.statuses[-1][0] is Status.RECOVERABLE_ERROR
        assert f"api/{page.endpoint}" in bench.statuses[-1][1]
        await bench.next()
        assert len(bench.warnings) == 1
        assert bench.warnings[0].startswith(f"cannot connect to {page.endpoint}: ")
        assert "object" not in bench.warnings[0]
        await page.__aenter__()
        found = await bench.next(lambda found: value(found, "up") == 1)
        assert value(found, "a") == 1
        assert bench.statuses[-1] == (Status.OK, "")
        await page.__aexit__()


async def test_a_bad_line_fails_the_whole_scrape() -> None:
    """As in Prometheus: nothing of the answer counts, and what was there before ends."""
    async with Page("a 1\n") as page, Bench(job(page)) as bench:
        await bench.next(lambda found: value(found, "a") == 1)
        page.body = "a 2\nb{ 1\n"
        found = await bench.next(lambda found: value(found, "up") == 0)
        assert ended(found, "a")
        assert "b" not in found
        assert "cannot read the labels" in bench.warnings[0]


async def test_a_counter_that_begins_anew_gets_a_new_start() -> None:
    """The start is when it was first seen, and the time of the scrape that found it smaller."""
    async with Page("# TYPE c_total counter\nc_total 5\n") as page, Bench(job(page)) as bench:
        first = (await bench.next())["c_total"][0]["point"]
        page.body = "# TYPE c_total counter\nc_total 7\n"
        second = (await bench.next(lambda found: value(found, "c_total") == 7))["c_total"][0]["point"]
        page.body = "# TYPE c_total counter\nc_total 1\n"
        third = (await bench.next(lambda found: value(found, "c_total") == 1))["c_total"][0]["point"]
    assert first.start_time_unix_nano == second.start_time_unix_nano == first.time_unix_nano
    assert third.start_time_unix_nano == third.time_unix_nano


async def test_labels_of_scope_and_instance_leave_the_points() -> None:
    """`otel_scope_...` becomes the scope, and honoured `job` and `instance` make resources of their own."""
    page = Page('a{otel_scope_name="lib",otel_scope_version="2",otel_scope_x="y",job="j",instance="i:1",k="v"} 1\n')
    async with page, Bench(job(page, "honor_labels: true")) as bench:
        found = await bench.next()
        data = bench.sink.batches[0].proto().resource_metrics[0]
    assert found["a"][0]["attributes"] == {"k": "v"}
    assert found["a"][0]["resource"]["service.name"] == "j"
    assert found["a"][0]["resource"]["server.address"] == "i"
    scope = data.scope_metrics[0].scope
    assert (scope.name, scope.version, scope.attributes[0].key) == ("lib", "2", "x")


async def test_labels_of_the_target_win_unless_those_of_series_are_honoured() -> None:
    """A label of a series that the target has, too, is renamed."""
    async with Page('a{zone="x",job="other"} 1\n') as page:
        labels = f"[{{job_name: api, static_configs: [{{targets: ['{page.endpoint}'], labels: {{zone: eu}}}}]}}]"
        async with Bench(labels) as bench:
            found = await bench.next()
    assert found["a"][0]["attributes"] == {"zone": "eu", "exported_zone": "x", "exported_job": "other"}


async def test_series_are_relabelled() -> None:
    """Rules drop and rename series, and what they drop is scraped but does not count afterwards."""
    rules = "[{source_labels: [__name__], regex: 'go_.*', action: drop}, {regex: secret, action: labeldrop}, "
    rules += "{source_labels: [path], regex: '/(.*)', target_label: page, replacement: '${1}!'}]"
    page = Page('go_x 1\na{secret="s",path="/home"} 2\n')
    async with page, Bench(job(page, f"metric_relabel_configs: {rules}")) as bench:
        found = await bench.next()
    assert found["a"][0]["attributes"] == {"path": "/home", "page": "home!"}
    assert [value(found, name) for name in FIGURES] == [1, 2, 1, 1]


async def test_times_of_samples_are_taken_where_they_are_honoured() -> None:
    """A sample with a time of its own keeps it, and its series ends without a point."""
    async with Page("a 1 1700000000123\nb 1\n") as page, Bench(job(page)) as bench:
        found = await bench.next()
        assert found["a"][0]["point"].time_unix_nano == 1_700_000_000_123_000_000
        page.body = "b 1\n"
        found = await bench.next(lambda found: "a" not in found)
    async with Page("a 1 1700000000123\n") as page, Bench(job(page, "honor_timestamps: false")) as bench:
        found = await bench.next()
    assert found["a"][0]["point"].time_unix_nano > 1_700_000_000_123_000_000


async def test_of_samples_that_come_twice_the_first_counts() -> None:
    """The scrape goes on, and the log says it once."""
    async with Page("a 1\na 2\n") as page, Bench(job(page)) as bench:
        found = await bench.next()
        assert (value(found, "a"), value(found, "up")) == (1, 1)
        await bench.next()
        assert len(bench.warnings) == 1
        assert bench.statuses[-1] == (Status.OK, "")


async def test_limits_fail_a_scrape() -> None:
    """Too many samples, labels, or bytes of names, values and bodies, also of one that is compressed."""
    for more, body, text in (
        ("sample_limit: 1", "a 1\nb 1\n", "sample limit exceeded"),
        ("label_limit: 3", 'a{b="c"} 1\n', "label_limit exceeded"),
        ("label_name_length_limit: 9", 'a{bbbbbbbbbb="c"} 1\n', "label_name_length_limit exceeded"),
        ("label_value_length_limit: 40", f'a{{b="{"c" * 41}"}} 1\n', "label_value_length_limit exceeded"),
        ("body_size_limit: 1KB", "a 1\n" * 300, "body size limit exceeded (1024 bytes)"),
    ):
        async with Page(body) as page, Bench(job(page, more)) as bench:
            assert value(await bench.next(), "up") == 0
            assert text in bench.warnings[0]
    async with Page(gzip.compress(b"a 1\n" * 1_000_000)) as page, Bench(job(page, "body_size_limit: 1MB")) as bench:
        page.headers["Content-Encoding"] = "gzip"
        assert value(await bench.next(), "up") == 0
        assert "body size limit exceeded" in bench.warnings[0]


async def test_hostile_answers_fail_the_scrape_and_nothing_else() -> None:
    """Bytes that are no text, no known type, damaged gzip, no line, no end."""
    for body, headers in (
        (b'a{b="\xff\xfe"} 1\n', {}), (b"\x00\x01\x02", {}), (b"a{" + b'b="c",' * 10 + b"} 1\n", {}),
        (b"a 1_0\n", {}), (b"a 1\r\n", {}), (b"a 1", {"Content-Type": "text/html"}), (b"a 1", {"Content-Type": ""}),
        (b"\x1f\x8bnothing", {"Content-Encoding": "gzip"}), (b"a 1\n", {"Content-Encoding": "br"}),
        (b"a 1\n", {"Content-Type": OPENMETRICS}), (b"a 1\n# EOF\nb 1\n", {"Content-Type": OPENMETRICS}),
        (b'a{b="c"', {}), (b"# TYPE a nonsense\na 1\n", {}), (b"a 1 2 3\n", {}), (b"{} 1\n", {}), (b"a\n", {}),
        (b"\xff\xff\xff\xff\xff", {"Content-Type": "application/vnd.google.protobuf; "
                                   "proto=io.prometheus.client.MetricFamily; encoding=delimited"}),
    ):  # fmt: skip
        async with Page(body) as page, Bench(job(page)) as bench:
            page.headers |= headers
            found = await bench.next()
            assert (value(found, "up"), len(found)) == (0, 5), body
            assert len(bench.warnings) == 1, bench.warnings


async def test_a_fallback_says_how_to_read_what_has_no_type() -> None:
    """`fallback_scrape_protocol` holds where the answer does not say what it is."""
    page = Page("a 1\n", "application/octet-stream")
    async with page, Bench(job(page, "fallback_scrape_protocol: PrometheusText0.0.4")) as bench:
        assert value(await bench.next(), "a") == 1


async def test_a_target_that_drips_is_given_up() -> None:
    """An answer that does not end within the timeout fails the scrape, and the next one comes at its time."""

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        while True:
            await response.write(b"a")
            await asyncio.sleep(0.01)

    async with Page() as page, Bench(job(page, "scrape_timeout: 50ms")) as bench:
        page.handler = drip
        assert value(await bench.next(), "up") == 0
        assert bench.warnings == ["context deadline exceeded (no answer within 0.05s)"]
        page.handler = None
        assert value(await bench.next(lambda found: value(found, "up")), "up") == 1


async def test_credentials_go_to_the_target_and_not_to_where_it_redirects() -> None:
    """Redirects are followed, but another host does not get the header; they can be switched off."""
    async with Page("a 1\n") as other, Page() as page:

        async def redirect(request: web.Request) -> web.StreamResponse:
            raise web.HTTPFound(f"http://localhost:{other.endpoint.rpartition(':')[2]}/metrics")

        page.handler = redirect
        async with Bench(job(page, "authorization: {credentials: s3cret}")) as bench:
            await bench.next(lambda found: value(found, "a") == 1)  # a machine that is busy may miss a scrape
        assert page.requests[0].headers["Authorization"] == "Bearer s3cret"
        assert "Authorization" not in other.requests[0].headers
        async with Bench(job(page, "follow_redirects: false")) as bench:
            assert value(await bench.next(), "up") == 0
            assert bench.warnings == ["server returned HTTP status 302 Found"]


async def test_a_request_is_what_the_job_says(tmp_path: Path) -> None:
    """Path, parameters, formats, timeout and the ways to authenticate are as configured; files are read each time."""
    (tmp_path / "token").write_text("t1\n")
    more = "metrics_path: /x/y, params: {match: [a, b]}, scrape_protocols: [PrometheusText0.0.4], "
    async with Page("a 1\n") as page:
        async with Bench(job(page, more + f"bearer_token_file: {tmp_path}/token")) as bench:
            await bench.next()
            (tmp_path / "token").write_text("t2\n")
            await bench.next(lambda _: page.requests[-1].headers["Authorization"] == "Bearer t2")
        request = page.requests[0]
        assert (request.path, request.query.getall("match")) == ("/x/y", ["a", "b"])
        assert request.headers["Authorization"] == "Bearer t1"
        assert request.headers["Accept"] == "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
        assert request.headers["X-Prometheus-Scrape-Timeout-Seconds"] == "0.1"
        async with Bench(job(page, "basic_auth: {username: u, password: p}")) as bench:
            await bench.next(lambda _: page.requests[-1].headers["Authorization"] == "Basic dTpw")


async def test_targets_in_files_come_and_go(tmp_path: Path) -> None:
    """A changed file is found; series of a target that is gone end, its `up` too; a broken file changes nothing."""
    file = tmp_path / "targets.json"
    file.write_text("[]")
    jobs = f"[{{job_name: api, file_sd_configs: [{{files: ['{tmp_path}/*.json'], refresh_interval: 50ms}}]}}]"
    async with Page("a 1\n") as page, Bench(jobs) as bench:
        file.write_text(json.dumps([{"targets": [page.endpoint], "labels": {"zone": "eu"}}]))
        found = await bench.next()
        assert found["a"][0]["attributes"] == {"zone": "eu"}
        file.write_text("[{")
        await bench.next(lambda _: bench.warnings)
        assert value(await bench.next(), "up") == 1
        file.write_text("[ ]")
        found = await bench.next(lambda found: ended(found, "up"))
        assert ended(found, "a")
        count = len(page.requests)
        (tmp_path / "more.json").write_text(json.dumps([{"targets": [page.endpoint]}]))
        await bench.next()
        assert len(page.requests) > count


async def test_what_the_pipeline_refuses_is_dropped_and_counted() -> None:
    """The next scrape comes anyway."""
    async with Page("a 1\n") as page, Bench(job(page)) as bench:
        bench.sink.error = RefusedError("full")
        await until(lambda: bench.dropped)
        assert bench.dropped[0] == (6, Reason.QUEUE_FULL)
        bench.sink.error = None
        assert value(await bench.next(), "a") == 1


async def test_suffixes_are_trimmed_and_more_is_told_where_that_is_asked_for() -> None:
    """`trim_metric_suffixes` and `report_extra_scrape_metrics` do what they do in the Collector."""
    page = Page("# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total 1\n# EOF\n", OPENMETRICS)
    async with page, Bench(job(page), "{trim_metric_suffixes: true, report_extra_scrape_metrics: true}") as bench:
        found = await bench.next()
    assert value(found, "a") == 1
    assert value(found, "scrape_timeout_seconds") == 0.1
    assert value(found, "scrape_body_size_bytes") == len(page.body)
    assert value(found, "scrape_sample_limit") == 0


async def test_openmetrics_may_say_when_a_sample_was_taken() -> None:
    """In seconds, to the millisecond."""
    async with Page("a 1 1700000000.25\nb 2 1.7e9\n# EOF\n", OPENMETRICS) as page, Bench(job(page)) as bench:
        found = await bench.next()
    assert found["a"][0]["point"].time_unix_nano == 1_700_000_000_250_000_000
    assert found["b"][0]["point"].time_unix_nano == 1_700_000_000_000_000_000


async def test_tls_is_checked_against_the_authorities_that_are_named(tmp_path: Path) -> None:
    """With the right `ca_file` it is up, without it is down, and the status says why."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    page = Page("a 1\n")
    page.tls = context
    async with page:
        async with Bench(job(page, f"scheme: https, tls_config: {{ca_file: {tmp_path}/ca.pem}}")) as bench:
            assert value(await bench.next(), "a") == 1
        async with Bench(job(page, "scheme: https")) as bench:
            assert value(await bench.next(), "up") == 0
            assert "CERTIFICATE_VERIFY_FAILED" in bench.warnings[0]


async def test_what_is_being_pushed_comes_to_its_end_when_the_receiver_stops() -> None:
    """Neither stopping nor a target that goes away loses a batch that is on its way."""
    async with Page("a 1\n") as page:
        bench = Bench(job(page))
        await bench.receiver.__aenter__()
        bench.sink.gate = asyncio.Event()
        await until(lambda: bench.sink.calls)
        stopping = asyncio.create_task(bench.receiver.__aexit__(None, None, None))
        await settle()
        assert not stopping.done()
        bench.sink.gate.set()
        await stopping
    assert bench.sink.items == 6
    assert not bench.dropped
