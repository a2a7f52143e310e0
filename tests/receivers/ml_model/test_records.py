"""Records of any kind on their way into batches of the engine."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from sluiceway.ml import make_engine
from sluiceway.ml.batches import Predictions
from sluiceway.receivers.ml_model.records import Reader, parse_lines
from sluiceway.scraping import Scrape
from sluiceway.testing import ManualClock
from tests.receivers.ml_model.bench import settings

SETTINGS = settings(
    "{segments: [region], window: {min_records: 1, type: sliding}, reference: {first_n: 30}, "
    "files: {p: {include: [a]}, l: {include: [a], records: ground_truth}}}"
)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**64), 2**64), st.floats(), st.text(max_size=5),
    st.sampled_from(["1", "nan", "2024-01-01", "9999-12-31T23:59:59+14:00", "0001-01-01", [1], [], {}, {"a": [1]}]),
)  # fmt: skip
NAMES = (
    "prediction_id", "timestamp", "model_name", "model_version", "prediction", "score", "probability_a", "latency",
    "error", "label", "feature_a", "feature_b", "features", "region",
)  # fmt: skip
RECORDS = st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1), min_size=1, max_size=8)


@given(RECORDS)
@effort(max_examples=60, deadline=None)
def test_whatever_records_hold_nothing_breaks(given: list[dict[str, Any]]) -> None:
    """Each is taken or counted, and the engine measures what was taken."""
    clock = ManualClock()
    engine = make_engine(SETTINGS, clock)
    lines = "\n".join(map(json.dumps, given)).encode()
    for source in SETTINGS.files.values():
        rejected: Counter[str] = Counter()
        rows = list(parse_lines(lines, 1 << 20, rejected))
        read = Reader(source, SETTINGS, clock).rows(rows, "file") if rows else None
        assert len(rows) + rejected.total() == len(given)
        if read is None:
            continue
        assert "cannot be read" not in read.trouble
        assert sum(map(len, read.batches)) + read.rejected.total() == len(rows)
        for batch in read.batches:
            engine.predictions(batch) if isinstance(batch, Predictions) else engine.ground_truth(batch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scrape = Scrape(clock.time_ns(), 1)
        asyncio.run(engine.write(scrape))
        scrape.finish()
