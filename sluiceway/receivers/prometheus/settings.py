"""The part of Prometheus' own configuration that the receiver takes, with Prometheus' keys, defaults and messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, Self

from pydantic import Field, model_validator

from sluiceway.config.client import is_url
from sluiceway.config.settings import Mistake, mistake, mistakes
from sluiceway.config.types import Opaque, Section, Settings
from sluiceway.receivers.prometheus.access import Authorization, BasicAuth, TlsConfig
from sluiceway.receivers.prometheus.relabel import Relabel
from sluiceway.receivers.prometheus.scalars import PromDuration, PromSize

__all__ = ["FileSd", "PrometheusConfig", "ScrapeConfig", "StaticConfig"]

_ELSEWHERE: Final = "write the targets to a file and name it in file_sd_configs, or list them in static_configs"


Protocol = Literal[
    "PrometheusProto", "OpenMetricsText0.0.1", "OpenMetricsText1.0.0", "PrometheusText0.0.4", "PrometheusText1.0.0"
]
PROTOCOLS: Final[tuple[Protocol, ...]] = (
    "OpenMetricsText1.0.0", "OpenMetricsText0.0.1", "PrometheusText1.0.0", "PrometheusText0.0.4",
)  # fmt: skip


class StaticConfig(Settings):
    """Targets, and labels that all of them get."""

    targets: tuple[str, ...] = ()
    """`host:port` of each."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels of all series that they show."""


class FileSd(Settings):
    """Files with targets, which are read again when they change."""

    files: tuple[str, ...]
    """Paths of JSON or YAML files; the last part may hold `*`."""
    refresh_interval: PromDuration = Field(default=300.0, gt=0)
    """How often they are read at least; changes are looked for every five seconds."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.files:
            raise mistake("file service discovery config must contain at least one path name", "files")
        for index, path in enumerate(self.files):
            if not re.fullmatch(r"[^*]*(\*[^/]*)?\.(json|yml|yaml|JSON|YML|YAML)", path):
                raise mistake(f'path name "{path}" is not valid for file discovery', "files", index)
        return self


class _Limits(Settings):
    scrape_interval: PromDuration | None = Field(default=None, gt=0)
    """Time from one scrape of a target to the next; 1m unless `global` says otherwise."""
    scrape_timeout: PromDuration | None = Field(default=None, gt=0)
    """How long one scrape may take; 10s, or the interval where that is shorter."""
    scrape_protocols: tuple[Protocol, ...] | None = None
    """The formats to ask for, the best first."""
    scrape_native_histograms: bool | None = None
    """Whether to ask for protobuf first, the only format that has native histograms."""
    body_size_limit: PromSize | None = Field(default=None, ge=0)
    """Bytes of an answer, decompressed; a longer one fails the scrape. 0 stands for 256MB."""
    sample_limit: int | None = Field(default=None, ge=0)
    """Samples of a scrape after relabelling; more fail it. 0 stands for a million."""
    label_limit: int | None = Field(default=None, ge=0)
    """Labels of a series; more fail the scrape. 0 has no limit."""
    label_name_length_limit: int | None = Field(default=None, ge=0)
    """Bytes of a label's name; more fail the scrape. 0 has no limit."""
    label_value_length_limit: int | None = Field(default=None, ge=0)
    """Bytes of a label's value; more fail the scrape. 0 has no limit."""
    target_limit: int | None = Field(default=None, ge=0)
    """Targets of a scrape configuration; more fail them all. 0 has no limit."""
    metric_name_validation_scheme: Literal["", "utf8", "legacy"] | None = None
    """Whether names may hold any character (`utf8`), or are to be asked for without (`legacy`)."""
    extra_scrape_metrics: bool | None = None
    """Whether to emit `scrape_timeout_seconds`, `scrape_sample_limit` and `scrape_body_size_bytes`, too."""
    always_scrape_classic_histograms: bool | None = None
    """Without effect: of a native histogram only the native buckets are emitted."""
    convert_classic_histograms_to_nhcb: Literal[False] | None = None
    """Not supported: classic histograms stay histograms with explicit buckets, as OTLP has them."""


class Global(_Limits):
    """What holds for all scrape configurations that do not say otherwise."""

    external_labels: dict[str, str] = Field(default_factory=dict)
    """Without effect, as in the Collector: use the processor `resource`."""
    evaluation_interval: PromDuration = 60.0
    """Without effect: there are no rules."""
    query_log_file: str = ""
    """Without effect: there are no queries."""


class ScrapeConfig(_Limits):
    """One job: where its targets are, and how they are scraped."""

    job_name: str = Field(min_length=1)
    """The label `job` of its targets."""
    metrics_path: str = "/metrics"
    """The path to scrape."""
    scheme: Literal["http", "https"] = "http"
    """The protocol."""
    params: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Parameters of the URL."""
    honor_labels: bool = False
    """Whether labels of a series win over those of the target, which otherwise rename them to `exported_...`."""
    honor_timestamps: bool = True
    """Whether times that samples carry are taken."""
    track_timestamps_staleness: bool = False
    """Whether series whose samples carry times end with a marker, too."""
    enable_compression: bool = True
    """Whether to ask for gzip."""
    follow_redirects: bool = True
    """Whether to follow redirects, up to ten; credentials do not go to another host."""
    enable_http2: bool = True
    """Without effect: HTTP/1.1 only."""
    fallback_scrape_protocol: Protocol | None = None
    """How to read an answer that does not say what it is."""
    static_configs: tuple[StaticConfig, ...] = ()
    """Targets."""
    file_sd_configs: tuple[FileSd, ...] = ()
    """Files with targets."""
    relabel_configs: tuple[Relabel, ...] = ()
    """Rules for the labels of targets."""
    metric_relabel_configs: tuple[Relabel, ...] = ()
    """Rules for the labels of series."""
    basic_auth: Section[BasicAuth] = None
    """A user and a password."""
    authorization: Section[Authorization] = None
    """A token, or another header `Authorization`."""
    bearer_token: Opaque = Opaque("")
    """A token; `authorization` is its newer form."""
    bearer_token_file: str = ""
    """A file with a token."""
    tls_config: TlsConfig = TlsConfig()
    """How to encrypt, where the scheme is `https`."""
    proxy_url: Opaque = Opaque("")
    """The proxy to go through."""
    http_headers: dict[str, Opaque] = Field(default_factory=dict)
    """Further headers of each request."""

    @model_validator(mode="before")
    @classmethod
    def _explain(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            unsupported = [key for key in data if isinstance(key, str) and _is_discovery(key)]
            wrong = [Mistake(f"{key} is not supported: {_ELSEWHERE}", (key,)) for key in unsupported]
            if "oauth2" in data:
                wrong.append(Mistake("oauth2 is not supported: use authorization with a credentials_file", ("oauth2",)))
            if "scrape_failure_log_file" in data:
                text = "scrape_failure_log_file is not supported: failures are logged once for each change"
                wrong.append(Mistake(text, ("scrape_failure_log_file",)))
            if wrong:
                raise mistakes(wrong)
            data = dict(data)
            if isinstance(data.get("http_headers"), Mapping):
                data["http_headers"] = {name: _header(value) for name, value in data["http_headers"].items()}
        return data

    @model_validator(mode="after")
    def _check(self) -> Self:
        ways = (self.basic_auth, self.authorization, self.bearer_token, self.bearer_token_file)
        if sum(map(bool, ways)) > 1:
            raise mistake(
                "at most one of basic_auth, authorization, bearer_token & bearer_token_file must be configured"
            )
        if self.proxy_url and not is_url(self.proxy_url.reveal()):
            raise mistake("proxy_url must be a valid URL", "proxy_url")
        for index, group in enumerate(self.static_configs):
            for target in group.targets:
                if "/" in target:
                    text = f'"{target}" is not a valid hostname'
                    raise mistake(text, "static_configs", index, "targets")
        return self


def _is_discovery(key: str) -> bool:
    return key.endswith("_sd_configs") and key != "file_sd_configs"


def _header(value: Any) -> Any:
    """The one value of `{values: [...]}` or `{secrets: [...]}`."""
    if not isinstance(value, Mapping):
        return value
    given = [*value.get("values", ()), *value.get("secrets", ())]
    return ", ".join(map(str, given))


class PrometheusConfig(Settings):
    """A Prometheus configuration, of which only what concerns scraping is taken."""

    global_: Global = Field(default=Global(), alias="global")
    """What holds for all scrape configurations."""
    scrape_configs: tuple[ScrapeConfig, ...] = ()
    """The jobs."""

    @model_validator(mode="before")
    @classmethod
    def _explain(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            wrong = [Mistake(text, (key,)) for key, text in _REFUSED.items() if data.get(key)]
            if wrong:
                raise mistakes(wrong)
            return {key: value for key, value in data.items() if key not in (*_REFUSED, *_IGNORED)}
        return data

    @model_validator(mode="after")
    def _check(self) -> Self:
        seen: set[str] = set()
        for index, job in enumerate(self.scrape_configs):
            if job.job_name in seen:
                text = f'found multiple scrape configs with job name "{job.job_name}"'
                raise mistake(text, "scrape_configs", index, "job_name")
            seen.add(job.job_name)
            if (job.scrape_timeout or 0) > self.interval(job):
                text = f'scrape timeout greater than scrape interval for scrape config with job name "{job.job_name}"'
                raise mistake(text, "scrape_configs", index, "scrape_timeout")
        return self

    def interval(self, job: ScrapeConfig) -> float:
        """Seconds from one scrape to the next."""
        return job.scrape_interval or self.global_.scrape_interval or 60.0

    def timeout(self, job: ScrapeConfig) -> float:
        """Seconds for one scrape."""
        return job.scrape_timeout or min(self.global_.scrape_timeout or 10.0, self.interval(job))

    def of(self, job: ScrapeConfig, key: str) -> Any:
        """A setting of a job, or what `global` has for it."""
        own = getattr(job, key)
        return getattr(self.global_, key) if own is None else own

    def protocols(self, job: ScrapeConfig) -> tuple[Protocol, ...]:
        """The formats to ask for, the best first."""
        chosen: tuple[Protocol, ...] = self.of(job, "scrape_protocols") or PROTOCOLS
        native = self.of(job, "scrape_native_histograms") and "PrometheusProto" not in chosen
        return ("PrometheusProto", *chosen) if native else chosen


_REFUSED: Final = {
    "rule_files": "rule_files is not supported: rules are evaluated by the backend",
    "alerting": "alerting is not supported: alerts are made by the backend",
    "remote_write": "remote_write is not supported: use an exporter",
    "remote_read": "remote_read is not supported: there is nothing to be read here",
    "scrape_config_files": "scrape_config_files is not supported: write the jobs under scrape_configs",
}
_IGNORED: Final = ("otlp", "storage", "tracing", "runtime")
