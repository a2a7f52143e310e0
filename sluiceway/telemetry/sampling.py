"""Which of our own spans are recorded, and how large one may become: settings made into the SDK's objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanLimits
    from opentelemetry.sdk.trace.sampling import Sampler

    from sluiceway.config.telemetry_traces import Limits, ParentBased, SamplerConfig

__all__ = ["sampler", "span_limits"]


def sampler(config: SamplerConfig | None) -> Sampler:
    """The sampler that was asked for; by default a span is recorded unless its parent says that it is not."""
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, DEFAULT_ON, TraceIdRatioBased

    if config is None:
        return DEFAULT_ON
    if config.parent_based is not None:
        return _parent_based(config.parent_based)
    if config.trace_id_ratio_based is not None:
        return TraceIdRatioBased(config.trace_id_ratio_based.ratio)
    return ALWAYS_OFF if config.always_off is not None else ALWAYS_ON


def span_limits(config: Limits) -> SpanLimits:
    """The limits that were asked for, and the SDK's own for the others."""
    from opentelemetry.sdk.trace import SpanLimits

    return SpanLimits(
        max_span_attribute_length=config.attribute_value_length_limit,
        max_span_attributes=config.attribute_count_limit,
        max_events=config.event_count_limit,
        max_links=config.link_count_limit,
        max_event_attributes=config.event_attribute_count_limit,
        max_link_attributes=config.link_attribute_count_limit,
    )


def _parent_based(config: ParentBased) -> Sampler:
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON
    from opentelemetry.sdk.trace.sampling import ParentBased as Sdk

    chosen = {
        name: sampler(written)
        for name in type(config).model_fields
        if name != "root" and (written := getattr(config, name)) is not None
    }
    return Sdk(sampler(config.root) if config.root is not None else ALWAYS_ON, **chosen)
