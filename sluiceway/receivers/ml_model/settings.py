"""The settings of the sources."""

from __future__ import annotations

from typing import Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from sluiceway.config.client import RequestHeaders, is_url
from sluiceway.config.settings import mistake
from sluiceway.config.tls import TlsClient
from sluiceway.config.types import Duration, Opaque, Settings, StringList
from sluiceway.ml import Columns
from sluiceway.ml.settings import ReferenceSettings

__all__ = [
    "FileSource", "Format", "GivenReference", "InferenceServer", "MlflowSource", "Preset",
    "RecordSource", "SqlSource", "WebSource",
]  # fmt: skip

Format: TypeAlias = Literal["auto", "json_lines", "parquet"]
Preset: TypeAlias = Literal["triton", "vllm", "torchserve", "kserve"]


class RecordSource(Settings):
    """What sources of records have in common."""

    records: Literal["predictions", "ground_truth"] = "predictions"
    """What the records are. Predictions may have their label with them."""
    columns: Columns = Columns()
    """What the columns are called."""
    model_name: str = ""
    """The model of records that do not name one."""
    model_version: str = ""
    """The version of records that do not name one."""

    def missing(self, names: frozenset[str]) -> list[str]:
        """The columns that are needed and not there."""
        if self.records == "predictions":
            return self.columns.missing_for_predictions(names)
        return self.columns.missing_for_ground_truth(names)


class FileSource(RecordSource):
    """Files with one record in each line, or in each row."""

    include: StringList = Field(min_length=1)
    """Paths, with the wildcards `*`, `?`, `[...]`, and `**` for any folders."""
    exclude: StringList = ()
    """Paths that are left out, with wildcards."""
    format: Format = "auto"
    """`json_lines`, which may grow, or `parquet`, each read once; `auto` goes by the name, `.parquet` or `.pq`."""
    start_at: Literal["beginning", "end"] = "end"
    """Where to begin in files that are there at the start; new files are read from their beginning."""
    poll_interval: Duration = Field(default=1.0, gt=0)
    """How often to look for what is new."""
    max_record_size: int = Field(default=1 << 20, ge=1024, le=1 << 26)
    """Bytes of the longest line; longer ones are left out and counted."""
    max_files: int = Field(default=100, ge=1, le=10_000)
    """How many files are followed at a time; the newest of those that match."""

    @property
    def has_parquet(self) -> bool:
        """Whether some of them may be Parquet."""
        return self.format == "parquet" or (self.format == "auto" and any(map(is_parquet, self.include)))


def is_parquet(path: str) -> bool:
    """Whether a file's name says that it is Parquet."""
    return path.endswith((".parquet", ".pq"))


class SqlSource(RecordSource):
    """A query on PostgreSQL, which is asked again and again for the rows after the last one."""

    datasource: Opaque
    """The database, as `postgresql://user:password@host:5432/database`, with options such as `?sslmode=verify-full`."""
    query: str = Field(min_length=1)
    """A SELECT of the rows after `$1`, in the order of the column `cursor`: `... WHERE id > $1 ORDER BY id`."""
    cursor: str = Field(min_length=1)
    """The column that always grows, whose last value is `$1`."""
    start: int | str | None = None
    """The first `$1`; left out, the lowest value there is, so that the query gives everything."""
    poll_interval: Duration = Field(default=10.0, gt=0)
    """How often to ask."""
    timeout: Duration = Field(default=30.0, gt=0)
    """How long connecting and each statement may take."""

    @field_validator("datasource")
    @classmethod
    def _check_place(cls, datasource: Opaque) -> Opaque:
        _check_datasource(datasource)
        return datasource

    @field_validator("query")
    @classmethod
    def _check_query(cls, query: str) -> str:
        if "$1" not in query:
            raise ValueError("must ask for the rows after the last one: it has no $1")
        return query


class WebSource(Settings):
    """How a server is reached by HTTP."""

    headers: RequestHeaders = Field(default_factory=dict)
    """Headers sent with every request."""
    token: Opaque = Opaque("")
    """A token that is sent as `Authorization: Bearer`."""
    username: str = ""
    """The user for basic authentication."""
    password: Opaque = Opaque("")
    """The user's password."""
    tls: TlsClient = TlsClient()
    """How to encrypt, where the URL says `https`."""
    timeout: Duration = Field(default=10.0, gt=0)
    """How long everything that one measurement asks of the server may take."""

    @model_validator(mode="after")
    def _check_proof(self) -> Self:
        if self.token and (self.username or self.password):
            raise mistake("either a token or a username and password", "token")
        if bool(self.username) != bool(self.password):
            raise mistake("a username and a password go together", "username")
        return self


class MlflowSource(WebSource):
    """An MLflow tracking server."""

    tracking_uri: str
    """The URL of the server."""
    experiments: StringList = Field(default=(), max_length=1000)
    """The names of the experiments to look at; left out, those that changed last."""
    poll_interval: Duration = Field(default=0.0, ge=0)
    """How often to ask at most; measurements between tell what was last known. 0s asks each time."""
    max_experiments: int = Field(default=100, ge=1, le=1000)
    """How many experiments are looked at, those that changed last, where none are named."""
    max_runs: int = Field(default=100, ge=1, le=10_000)
    """How many runs are looked at, those that began last."""
    max_metrics: int = Field(default=50, ge=0, le=1000)
    """How many metrics of each run are told, the first by their names."""
    max_models: int = Field(default=100, ge=0, le=10_000)
    """How many registered models are looked at, the first by their names."""

    @field_validator("tracking_uri")
    @classmethod
    def _check_uri(cls, uri: str) -> str:
        return _check_url(uri)


class InferenceServer(WebSource):
    """A server that shows metrics of the models that it serves."""

    preset: Preset
    """What it is."""
    endpoint: str
    """The URL of its metrics."""
    model_name: str = ""
    """The model, where the server does not name it."""
    model_version: str = ""
    """The version, where the server does not name it."""
    max_series: int = Field(default=2000, ge=1, le=100_000)
    """How many series are taken; the first on the page."""

    @field_validator("endpoint")
    @classmethod
    def _check_endpoint(cls, endpoint: str) -> str:
        return _check_url(endpoint)


class GivenReference(ReferenceSettings):
    """What drift is measured against: the engine's ways, or predictions from a file or a query."""

    file: str = ""
    """A file in Parquet or with JSON lines that holds the reference: predictions, or only features."""
    datasource: Opaque = Opaque("")
    """The database of `query`."""
    query: str = ""
    """A SELECT that gives the reference, without parameters."""
    columns: Columns = Columns()
    """What the columns are called."""
    model_name: str = ""
    """The model of rows that do not name one; empty for all models."""
    model_version: str = ""
    """The version of rows that do not name one; empty for all versions."""
    max_records: int = Field(default=100_000, ge=30, le=1_000_000)
    """How many rows are taken, the first."""

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        if self.file and self.query:
            raise mistake("either a file or a query", "query")
        if self.query:
            try:
                _check_datasource(self.datasource)
            except ValueError as error:
                raise mistake(str(error), "datasource") from None
        if (self.type == "given") != bool(self.file or self.query):
            raise mistake('"given" and a file or a query go together', "type")
        return self

    def __hash__(self) -> int:
        return hash((self.type, self.file, self.query))


def _check_url(url: str) -> str:
    if not is_url(url):
        raise ValueError("must be a URL, http:// or https://")
    if "@" in urlsplit(url).netloc:
        raise ValueError("must not hold credentials, which belong in username and password")
    return url


def _check_datasource(datasource: Opaque) -> None:
    text = datasource.reveal()
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("must begin with postgresql://")
    try:
        urlsplit(text).port  # noqa: B018 - raises for what is none
    except ValueError:  # whose text would show what may be a part of the password
        raise ValueError("is no URL; in a password, / is written as %2F, and @ as %40") from None
