"""What is known of a target stays within what it shows."""

from __future__ import annotations

from sluiceway.component import Context, Kind
from sluiceway.receivers.prometheus import COMPONENT, PrometheusSettings
from sluiceway.receivers.prometheus.discovery import targets_of
from sluiceway.receivers.prometheus.reader import Format
from sluiceway.receivers.prometheus.scrape import Answer
from sluiceway.receivers.prometheus.target import Asked, Outcome, Target
from sluiceway.testing import points, settings


def target(more: str = "") -> Target:
    """A target that is asked by hand."""
    chosen = settings(
        COMPONENT,
        f"""
        receivers:
          prometheus: {{config: {{scrape_configs: [{{job_name: a, static_configs: [{{targets: ['h:1']}}]{more}}}]}}}}
    """,
    )
    assert isinstance(chosen, PrometheusSettings)
    job = chosen.config.scrape_configs[0]
    (key,) = targets_of(chosen.config, job, [])
    return Target(chosen.config, job, key, Context("prometheus", Kind.RECEIVER))


def shown(target: Target, body: str, time: int = 1) -> Outcome:
    """What becomes of an answer."""
    return target.outcome(Asked(Answer(body.encode(), Format.TEXT), "", time * 1_000_000_000, 0.1))


def test_series_that_change_all_the_time_are_forgotten() -> None:
    """Those that are emitted, those that relabelling drops, and what comments say of them."""
    asked = target(", metric_relabel_configs: [{source_labels: [__name__], regex: 'drop.*', action: drop}]")
    for turn in range(300):
        names = "".join(f"# TYPE m{turn}_{i} counter\nm{turn}_{i} 1\ndrop{turn}_{i} 1\n" for i in range(20))
        outcome = shown(asked, names + f'h_bucket{{le="+Inf",turn="{turn}"}} 1\nh_count{{turn="{turn}"}} 1\n')
        assert outcome.batch.items == 5 + 22 * (2 if turn else 1)
    assert len(asked._known) < 1_300
    assert len(asked._reader._comments) < 1_200
    assert len(asked._translation.metadata) < 1_200
    assert len(asked._translation._series) == 22
    assert sum(len(resource.scopes) for resource in asked._translation._resources.values()) == 1


def test_a_type_that_changes_is_that_of_the_next_scrape() -> None:
    """What was a gauge and is said to be a counter becomes one."""
    asked = target()
    shown(asked, "# TYPE a gauge\na 1\n")
    shown(asked, "# TYPE a counter\na 2\n", 2)
    last = shown(asked, "# TYPE a counter\na 3\n", 3).batch.proto()
    metric = last.resource_metrics[0].scope_metrics[0].metrics[0]  # type: ignore[attr-defined]
    assert metric.sum.is_monotonic


def test_a_failed_scrape_does_not_move_starts() -> None:
    """A counter that is back after a failed scrape still began when it was first seen."""
    asked = target()
    text = "# TYPE a counter\na 1\n"
    shown(asked, text, 10)
    shown(asked, "a 0\nb{", 20)
    point = points([shown(asked, text, 30).batch])["a"][0]["point"]
    assert (point.start_time_unix_nano, point.time_unix_nano) == (10 * 10**9, 30 * 10**9)


def test_every_scrape_is_a_valid_batch() -> None:
    """What is emitted passes the check that is made of everything that comes from elsewhere."""
    from sluiceway.otlp import Signal, accept

    text = '# HELP a_total T\\n.\n# TYPE a_total counter\na_total{x="\u00e9\\n"} 1\n# TYPE h histogram\n'
    text += 'h_bucket{le="0.5"} 1\nh_bucket{le="+Inf"} 3\nh_sum 2\nh_count 3\n# TYPE s summary\ns{quantile="0.5"} NaN\n'
    text += "s_sum 1\ns_count 1\nplain -Inf 1700000000000\n"
    asked = target()
    for body in (text, text, "x 1\n", "{"):
        outcome = shown(asked, body)
        assert accept(Signal.METRICS, outcome.batch.payload).items == outcome.batch.items


def test_scrapes_that_fail_leave_nothing_behind() -> None:
    """New series before a bad line are forgotten, however often that happens."""
    asked = target()
    shown(asked, "a 1\n")
    for turn in range(20):
        assert shown(asked, "".join(f"x{turn}_{i} 1\n" for i in range(400)) + "{").error
    assert len(asked._known) < 1_500
    assert len(asked._translation._series) < 1_500


def test_more_samples_than_allowed_are_not_even_read() -> None:
    """The limit holds while an answer is read, and what relabelling drops does not count."""
    asked = target(
        ", sample_limit: 10, metric_relabel_configs: [{source_labels: [__name__], regex: 'drop.*', action: drop}]"
    )
    many = "".join(f"drop{i} 1\n" for i in range(100))
    assert not shown(asked, "".join(f"x{i} 1\n" for i in range(10)) + many).error
    assert "limit 10" in shown(asked, many + "".join(f"x{i} 1\n" for i in range(1000))).error
    assert len(asked._known) < 150
