"""Attribute values and names as labels."""

from sluiceway.prometheus.labels import exemplar_name


def test_nothing_of_an_exemplars_name_needs_quotes() -> None:
    """A sender could else write lines of its own into the page."""
    assert exemplar_name(b'a="x"} 1\n# TYPE up gauge\nup 0') == b"a_x_1_TYPE_up_gauge_up_0"
    assert exemplar_name(b"http.method") == b"http_method"
