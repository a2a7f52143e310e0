"""Samplers and limits from settings."""

from __future__ import annotations

import pytest
import yaml
from pydantic import ValidationError

from sluiceway.config.telemetry_traces import Limits, SamplerConfig
from sluiceway.telemetry.sampling import sampler, span_limits


@pytest.mark.parametrize(
    ("text", "description"),
    [
        ("{always_on: }", "AlwaysOnSampler"),
        ("{always_off: }", "AlwaysOffSampler"),
        ("{trace_id_ratio_based: {ratio: 0.25}}", "TraceIdRatioBased{0.25}"),
        (
            "{parent_based: {root: {trace_id_ratio_based: {ratio: 0.5}}, remote_parent_sampled: {always_off: }}}",
            "ParentBased{root:TraceIdRatioBased{0.5},remoteParentSampled:AlwaysOffSampler",
        ),
    ],
)
def test_samplers(text: str, description: str) -> None:
    """Each of the declarative spellings makes the SDK's sampler."""
    assert sampler(SamplerConfig.model_validate(yaml.safe_load(text))).get_description().startswith(description)


def test_the_default_follows_the_parent() -> None:
    """Without settings every trace is recorded whose parent does not say otherwise."""
    assert sampler(None).get_description().startswith("ParentBased{root:AlwaysOnSampler")


@pytest.mark.parametrize("text", ["{}", "{always_on: , always_off: }"])
def test_exactly_one_sampler(text: str) -> None:
    """None and two are mistakes."""
    with pytest.raises(ValidationError, match="must have exactly one sampler"):
        SamplerConfig.model_validate(yaml.safe_load(text))


def test_limits() -> None:
    """What is set is bounded, the rest by the SDK."""
    limits = span_limits(Limits.model_validate({"event_count_limit": 3, "attribute_value_length_limit": 9}))
    assert (limits.max_events, limits.max_span_attribute_length, limits.max_links) == (3, 9, 128)
