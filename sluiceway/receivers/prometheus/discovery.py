"""Which targets there are: those that the configuration lists, and those in files, which may change at any time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from yarl import URL

from sluiceway.config.files import stamp_of
from sluiceway.receivers.prometheus.relabel import relabel
from sluiceway.receivers.prometheus.scalars import seconds
from sluiceway.receivers.prometheus.settings import PrometheusConfig, ScrapeConfig

__all__ = ["Group", "TargetFiles", "TargetKey", "targets_of"]

_LARGEST: Final = 32 * 1024 * 1024
"""Bytes of a file with targets."""
_PARAM: Final = "__param_"


@dataclass(frozen=True, slots=True)
class Group:
    """Targets that share labels; `source` is the file they are from."""

    targets: tuple[str, ...]
    labels: dict[str, str]
    source: str = ""


@dataclass(frozen=True, slots=True)
class TargetKey:
    """What makes a target: where it is, and the labels of its series, among them `job` and `instance`."""

    url: str
    labels: tuple[tuple[str, str], ...]
    interval: float
    timeout: float

    def offset(self, interval: float) -> float:
        """Seconds after a multiple of the interval at which it is scraped, so that targets are spread over it."""
        digest = hashlib.blake2b(f"{self.url}{self.labels}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64 * interval


class TargetFiles:
    """The files of one scrape configuration. A file that cannot be read keeps the targets it had."""

    def __init__(self, job: ScrapeConfig) -> None:
        self._patterns = [path for config in job.file_sd_configs for path in config.files]
        self._read: dict[str, tuple[Any, list[Group]]] = {}

    def groups(self) -> tuple[list[Group], dict[str, str]]:
        """The groups of all files, and what is wrong with those that cannot be read."""
        wrong: dict[str, str] = {}
        read: dict[str, tuple[Any, list[Group]]] = {}
        for path in self._paths():
            stamp = stamp_of([path])
            known = self._read.get(path)
            if known is not None and known[0] == stamp:
                read[path] = known
                continue
            try:
                read[path] = (stamp, list(_groups(Path(path))))
            except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
                wrong[path] = f"{path}: {str(error).splitlines()[0][:200]}"
                if known is not None:
                    read[path] = (None, known[1])
        self._read = read
        return [group for _, groups in read.values() for group in groups], wrong

    def _paths(self) -> Iterator[str]:
        for pattern in self._patterns:
            path = Path(pattern)
            if "*" in path.name:
                yield from sorted(map(str, path.parent.glob(path.name)))
            else:
                yield pattern


def _groups(path: Path) -> Iterator[Group]:
    if path.stat().st_size > _LARGEST:
        raise ValueError("larger than 32 MiB")
    text = path.read_text()
    content = json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    if not isinstance(content, list):
        raise ValueError("expected a list of {targets: [...], labels: {...}}")  # noqa: TRY004 - wrong content
    for index, entry in enumerate(content):
        if not isinstance(entry, dict) or set(entry) - {"targets", "labels"}:
            raise ValueError(f"entry {index}: expected targets and labels, and nothing else")
        targets, labels = entry.get("targets") or [], entry.get("labels") or {}
        if not isinstance(targets, list) or not all(isinstance(target, str) for target in targets):
            raise ValueError(f"entry {index}: targets must be a list of texts")
        if not isinstance(labels, dict) or not all(isinstance(part, str) for pair in labels.items() for part in pair):
            raise ValueError(f"entry {index}: labels must be texts")
        yield Group(tuple(targets), labels, str(path))


def targets_of(config: PrometheusConfig, job: ScrapeConfig, groups: list[Group]) -> dict[TargetKey, None]:
    """The targets of a job after relabelling, each once, in their order. Raises `ValueError` for what is none."""
    found: dict[TargetKey, None] = {}
    static = [Group(group.targets, group.labels) for group in job.static_configs]
    for group in (*static, *groups):
        for address in group.targets:
            key = _target(config, job, address, group)
            if key is not None:
                found[key] = None
    limit = config.of(job, "target_limit")
    if limit and len(found) > limit:
        raise ValueError(f"target_limit exceeded (number of targets: {len(found)}, limit: {limit})")
    return found


def _target(config: PrometheusConfig, job: ScrapeConfig, address: str, group: Group) -> TargetKey | None:
    labels = {
        "job": job.job_name,
        "__scrape_interval__": f"{round(config.interval(job) * 1000)}ms",
        "__scrape_timeout__": f"{round(config.timeout(job) * 1000)}ms",
        "__metrics_path__": job.metrics_path,
        "__scheme__": job.scheme,
        **{_PARAM + name: values[0] for name, values in job.params.items() if values},
        **group.labels,
        "__address__": address,
    }
    if group.source:
        labels["__meta_filepath"] = group.source
    if not relabel(labels, job.relabel_configs):
        return None
    address = labels.get("__address__", "")
    if not address:
        raise ValueError("no address")
    if "/" in address:
        raise ValueError(f'"{address}" is not a valid hostname')
    labels.setdefault("instance", address)
    interval, timeout = (_duration(labels, name) for name in ("__scrape_interval__", "__scrape_timeout__"))
    if not 0 < timeout <= interval:
        raise ValueError(f'scrape timeout of "{address}" is not between zero and the scrape interval')
    shown = tuple(sorted((name, value) for name, value in labels.items() if not name.startswith("__") and value))
    return TargetKey(str(_url(job, labels, address)), shown, interval, timeout)


def _duration(labels: dict[str, str], name: str) -> float:
    value = seconds(labels.get(name, ""))
    if not isinstance(value, float):
        raise TypeError(name)
    return value


def _url(job: ScrapeConfig, labels: dict[str, str], address: str) -> URL:
    scheme, path = labels.get("__scheme__", ""), labels.get("__metrics_path__", "")
    if scheme not in ("http", "https"):
        raise ValueError(f'scheme must be "http" or "https", not "{scheme}"')
    query = [(name, value) for name, values in job.params.items() for value in values[1:]]
    first = [(name.removeprefix(_PARAM), value) for name, value in labels.items() if name.startswith(_PARAM)]
    url = URL(f"{scheme}://{address}").join(URL(path if path.startswith("/") else f"/{path}"))
    return url.update_query([*first, *query]) if first or query else url
