"""The bytes of a request, and where a redirect leads."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import NamedTuple

import orjson
from yarl import URL

from sluiceway.config.client import is_url
from sluiceway.receivers.http_check.exchange import Answer
from sluiceway.receivers.http_check.failures import CheckError
from sluiceway.receivers.http_check.settings import GraphQl

__all__ = ["Request", "basic", "follow", "graphql_body", "guess_type"]

_REDIRECTS = (301, 302, 303, 307, 308)


class Request(NamedTuple):
    """A request to be sent."""

    url: URL
    method: str
    headers: Mapping[str, str]
    body: bytes = b""

    def encode(self, *, whole_url: bool = False) -> bytes:
        """As it is sent: with the URL's path, or with all of it to a proxy."""
        url = self.url
        headers = {"host": url.host_port_subcomponent or "", **self.headers, "connection": "close"}
        if url.user is not None and "authorization" not in headers:
            headers["authorization"] = basic(url)
        headers.pop("content-length", None)
        if self.body or self.method in ("POST", "PUT", "PATCH"):
            headers["content-length"] = str(len(self.body))
        where = str(url.with_user(None).with_fragment(None)) if whole_url else url.raw_path_qs
        lines = [f"{self.method} {where} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        return "\r\n".join(lines).encode("latin-1") + self.body


def basic(url: URL) -> str:
    """The header that proves who a URL says we are."""
    proof = b64encode(f"{url.user}:{url.password or ''}".encode()).decode()
    return f"Basic {proof}"


def follow(request: Request, answer: Answer, plain: Mapping[str, str]) -> Request | None:
    """The request that a redirect asks for; None when the answer is none (RFC 9110 15.4).

    A server elsewhere gets the headers `plain` alone, so that no credentials go where nobody meant them to.
    """
    location = answer.headers.get("location", "")
    if answer.status not in _REDIRECTS or not location:
        return None
    try:
        url = request.url.with_user(None).join(URL(location))
    except ValueError:
        raise CheckError("the redirect leads nowhere") from None
    if not is_url(str(url)):
        raise CheckError("the redirect leads nowhere")
    headers = request.headers if url.origin() == request.url.origin() else plain
    if answer.status < 307 and request.method not in ("GET", "HEAD"):
        headers = {name: value for name, value in headers.items() if not name.startswith("content-")}
        return Request(url, "GET", headers)
    return Request(url, request.method, headers, request.body)


def graphql_body(settings: GraphQl) -> bytes:
    """The JSON of a GraphQL request."""
    body: dict[str, object] = {"query": settings.query}
    if settings.operation_name:
        body["operationName"] = settings.operation_name
    if settings.variables:
        body["variables"] = settings.variables
    return orjson.dumps(body)


def guess_type(body: str) -> str:
    """What a body seems to be."""
    text = body.strip()
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        if text.startswith("<"):
            return "application/xml"
        is_form = "=" in text and not any(character.isspace() for character in text)
        return "application/x-www-form-urlencoded" if is_form else "text/plain"
    return "application/json"
