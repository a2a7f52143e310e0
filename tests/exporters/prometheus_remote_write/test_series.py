"""What series are called."""

from __future__ import annotations

import pytest

from sluiceway.exporters.prometheus_remote_write.series import SeriesNames, bound_text
from sluiceway.otlp.metrics import encode_attributes
from sluiceway.prometheus.translation import SERVICE, Rules

GAUGE, HISTOGRAM = 0x2A, 0x4A


def labels(flat) -> dict[str, str]:
    """Labels as a dictionary."""
    texts = [text.decode() for text in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def describe(names, attributes, resource=None, *, member=GAUGE, values=(), name=b"m"):
    """What a point of the metric `m` is."""
    return names.describe(
        encode_attributes(0x0A, resource or {}), b"", b"", (name, b"s", b""), member, False,
        encode_attributes(0x0A, attributes), values,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (0.005, "0.005"), (1e-9, "0.000000001"), (2.5e20, "250000000000000000000"), (float("inf"), "+Inf"),
     (float("-inf"), "-Inf"), (-0.5, "-0.5")],
)  # fmt: skip
def test_bounds_as_text(value, text):
    """Without exponents, and whole numbers without a point, as the Collector writes them."""
    assert bound_text(value) == text.encode()


def test_what_becomes_the_same_name_is_joined():
    """In the order of the keys, as the specification has it."""
    names = SeriesNames(Rules())
    base, _, _ = describe(names, {"a.b": 2, "a/b": 1.5, "a-b": True, "c.d": "x", "c/d": "x", "empty": ""})
    assert labels(base) == {"__name__": "m_seconds", "a_b": "true;2;1.5", "c_d": "x;x"}


def test_a_resource_names_job_and_instance():
    """Attributes of that name are renamed, as Prometheus does it; external labels give way to both."""
    names = SeriesNames(Rules(), external={"job": "x", "team": "t", "dc": "eu"})
    resource = {"service.name": "s", "service.namespace": "n", "service.instance.id": "i", "host": "h"}
    base, _, _ = describe(names, {"job": "mine", "team": "u"}, resource)
    assert labels(base) == {
        "__name__": "m_seconds", "job": "n/s", "instance": "i", "exported_job": "mine", "team": "u", "dc": "eu",
    }  # fmt: skip


def test_attributes_do_not_take_the_labels_of_buckets_and_quantiles():
    """Two histograms that differ in such an attribute would be one."""
    _, _, (bucket, *_) = describe(SeriesNames(Rules()), {"le": "mine"}, member=HISTOGRAM, values=(1.0,))
    assert labels(bucket) == {"__name__": "m_seconds_bucket", "le": "1", "exported_le": "mine"}


@pytest.mark.parametrize("left_out", [False, True])
def test_resource_attributes_may_become_labels(left_out):
    """All of them, or all but those that `job` and `instance` tell."""
    without = SERVICE if left_out else ()
    names = SeriesNames(Rules(is_resource_label=lambda key: key not in without))
    base, _, _ = describe(names, {"host": "p"}, {"service.name": "s", "host": "h"})
    more = {} if left_out else {"service_name": "s"}
    assert labels(base) == {"__name__": "m_seconds", "host": "h", "exported_host": "p", "job": "s", **more}


def test_nothing_is_told_of_a_resource_without_identity_or_attributes():
    """It could not be joined to anything, or would tell nothing."""
    names = SeriesNames(Rules(namespace="ns"))
    assert describe(names, {}, {"host": "h"}, member=0) is None
    assert describe(names, {}, {"service.name": "s"}, member=0) is None
    base, metadata, _ = describe(names, {}, {"service.name": "s", "host.name": "h"}, member=0)
    assert labels(base) == {"__name__": "ns_target_info", "job": "s", "host_name": "h"}
    assert metadata[0] == 6


def test_a_metric_without_a_name_has_no_series():
    """Nor one of whose name nothing is left."""
    names = SeriesNames(Rules())
    assert describe(names, {}, name=b"") is None
    assert describe(names, {}, name=b"...") is None


def test_an_exemplar_that_is_too_long_keeps_its_ids():
    """Attributes that make it longer than OpenMetrics allows are left out; ids of zeros are none."""
    names = SeriesNames(Rules())
    short = names.label_exemplar(encode_attributes(0x0A, {"user.id": "u"}), b"\x01" * 16, b"")
    assert labels(short) == {"user_id": "u", "trace_id": "01" * 16}
    assert names.label_exemplar(b"", bytes(16), bytes(8)) == ()
    long = names.label_exemplar(encode_attributes(0x0A, {"user.id": "u" * 90}), b"\x01" * 16, b"")
    assert labels(long) == {"trace_id": "01" * 16}
