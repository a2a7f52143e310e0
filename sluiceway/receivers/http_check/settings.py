"""The settings of one target of `http_check`."""

from __future__ import annotations

import re
from typing import Any, Final, Self

from pydantic import Field, field_validator, model_validator

from sluiceway.config.client import is_url
from sluiceway.config.exporter import Timeout
from sluiceway.config.http_client import Cookies, HttpClient
from sluiceway.config.settings import mistake
from sluiceway.config.types import Duration, Section, Settings, Size, StringList
from sluiceway.otlp.selecting import compile_pattern
from sluiceway.receivers.http_check.json_path import parse_path

__all__ = ["GraphQl", "Target", "Validation"]

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")


class Validation(Settings):
    """What the body of a response must be; each key is a validation of its own."""

    contains: str = ""
    """Text that must be in it."""
    not_contains: str = ""
    """Text that must not be in it."""
    regex: str = ""
    """An RE2 pattern that must be found in it."""
    json_path: str = ""
    """Where something must be in the JSON, such as `$.status`, `items[0].name`, or `items.#` for how many."""
    equals: str | bool | int | float | None = None
    """What must be at `json_path`; without one, what the whole body must be."""
    min_size: Size | None = Field(default=None, ge=0)
    """The least size of the body."""
    max_size: Size | None = Field(default=None, ge=0)
    """The largest size of the body."""

    @field_validator("regex")
    @classmethod
    def _check_regex(cls, pattern: str) -> str:
        compile_pattern(pattern)
        return pattern

    @field_validator("json_path")
    @classmethod
    def _check_path(cls, path: str) -> str:
        if path:
            parse_path(path)
        return path

    @model_validator(mode="after")
    def _check(self) -> Self:
        texts = (self.contains, self.not_contains, self.regex, self.json_path)
        if not any(texts) and self.equals is None and self.min_size is None and self.max_size is None:
            raise ValueError("names nothing that a response must be")
        return self


class GraphQl(Settings):
    """A GraphQL request over HTTP: a POST whose answer is judged by its `errors`, not by its status alone."""

    query: str = Field(min_length=1)
    """The document."""
    operation_name: str = ""
    """Which of its operations is meant. It becomes the attribute `graphql.operation.name`."""
    variables: dict[str, Any] = Field(default_factory=dict)
    """The values of its variables."""
    expect_no_errors: bool = True
    """Whether an answer with `errors`, or one that is no GraphQL, is a failure even when its status is 200."""

    @field_validator("operation_name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if name and not _NAME.fullmatch(name):
            raise ValueError("is no name of GraphQL: letters, digits and underscores")
        return name


class Target(HttpClient):
    """What is checked and how, with the keys of an HTTP client. Each check is a connection of its own."""

    endpoint: str = ""
    """The URL, `http://` or `https://`."""
    endpoints: StringList = ()
    """More URLs that are checked in the same way."""
    timeout: Timeout = 0.0
    """How long one check may take, redirects included; 0s is 30 seconds."""
    max_conns_per_host: int = Field(default=0, ge=0)
    """Without effect: each check opens one connection, and `max_concurrent_checks` bounds them."""
    idle_conn_timeout: Duration = Field(default=90.0, ge=0)
    """Without effect: no connection is kept."""
    disable_keep_alives: bool = False
    """Without effect: no connection is kept."""
    cookies: Section[Cookies] = None
    """Not supported: it must be left out."""
    name: str = Field(default="", max_length=200)
    """Tells this target from others with the same URL and method, as the attribute `httpcheck.target.name`. Ours."""
    method: str = "GET"
    """The method of the request."""
    methods: StringList = ()
    """Several methods, each of which is a check of its own, instead of `method`. Ours."""
    body: str = ""
    """The body of the request."""
    auto_content_type: bool = False
    """Whether the Content-Type is guessed from the body: JSON, a form, XML or plain text."""
    validations: tuple[Validation, ...] = ()
    """What the body of the response must be."""
    graphql: Section[GraphQl] = None
    """A GraphQL request instead of `method` and `body`. Ours."""
    max_redirects: int = Field(default=10, ge=0, le=100)
    """How many redirects are followed; 0 takes the first answer as it is. Ours."""
    max_response_size: Size = Field(default=4 * 1024 * 1024, gt=0)
    """A larger body makes the check fail. Ours."""

    @field_validator("methods")
    @classmethod
    def _check_methods(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        if len({method.upper() for method in methods}) < len(methods):
            raise ValueError("a method is given twice")
        return methods

    @model_validator(mode="after")
    def _check_target(self) -> Self:
        if not self.urls:
            raise ValueError('"endpoint" must be specified')
        for url in self.urls:
            if not is_url(url):
                key = "endpoint" if url == self.endpoint else "endpoints"
                raise mistake('"endpoint" must be in the form of <scheme>://<hostname>[:<port>]', key)
        if self.methods and self.method not in ("", "GET"):
            raise mistake('give "method" or "methods", not both', "method")
        for method in self.verbs:
            if not _TOKEN.fullmatch(method) or method == "CONNECT":
                raise mistake("is no method of a request", "methods" if self.methods else "method")
        if self.cookies is not None:
            raise mistake("cookies are not supported here", "cookies")
        if self.proxy_url.reveal().startswith("https:"):
            raise mistake("a proxy can only be reached by http:// here", "proxy_url")
        self._check_request()
        return self

    def _check_request(self) -> None:
        if self.graphql is not None:
            for key in ("method", "methods", "body"):
                if key in self.model_fields_set:
                    raise mistake("a GraphQL request is a POST with a body of its own", key)

    @property
    def urls(self) -> tuple[str, ...]:
        """All endpoints, each once."""
        return tuple(dict.fromkeys((*self.endpoints, *((self.endpoint,) if self.endpoint else ()))))

    @property
    def verbs(self) -> tuple[str, ...]:
        """All methods, in upper case; an empty one is GET."""
        if self.graphql is not None:
            return ("POST",)
        return tuple(method.upper() or "GET" for method in self.methods or (self.method,))

    @property
    def limit(self) -> float:
        """Seconds that one check may take."""
        return self.timeout or 30.0
