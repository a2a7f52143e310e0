"""Where a configuration breaks the promise of a queue on disk: what is answered is not on it yet."""

from __future__ import annotations

from collections.abc import Iterator

from sluiceway.config.metadata import ForgetsHeaders
from sluiceway.config.model import Config, PipelineConfig
from sluiceway.errors import Problem

__all__ = ["answered_early"]


def answered_early(config: Config) -> Iterator[Problem]:
    """Find processors that answer senders before a queue on disk has their data, one problem for each.

    Those are the ones that join requests and no longer know whose they were: what they hold is lost with the process.
    """
    seen: set[str] = set()
    for pipeline in config.pipelines.values():
        for entry in (config.processors[id] for id in pipeline.processors):
            exporter = next(_durable(config, pipeline), "") if isinstance(entry.settings, ForgetsHeaders) else ""
            if exporter and entry.id not in seen:
                seen.add(entry.id)
                mark = entry.mark_of(())
                text = (
                    f"answers senders of pipeline {pipeline.id} before the queue on disk of exporters::{exporter} has "
                    "their data, and loses what it holds when the process ends; use sending_queue::batch, which is "
                    "behind the queue, instead"
                )
                yield Problem(text, f"processors::{entry.id}", mark.file, mark.line, mark.column)


def _durable(config: Config, pipeline: PipelineConfig, seen: tuple[str, ...] = ()) -> Iterator[str]:
    """The exporters with a queue on disk that data of a pipeline comes to, also through connectors that pass it on."""
    for id in pipeline.exporters:
        if id in config.exporters:
            queue = getattr(config.exporters[id].settings, "sending_queue", None)
            if queue and queue.storage:
                yield id
        elif config.connectors[id].component.emits is None:
            for other in config.pipelines.values():
                if id in other.receivers and other.signal is pipeline.signal and other.id not in (*seen, pipeline.id):
                    yield from _durable(config, other, (*seen, pipeline.id))
