"""GraphQL over HTTP, against a real server."""

from __future__ import annotations

import pytest

from tests.receivers.http_check.bench import counts, errors, measured, status
from tests.receivers.http_check.raw import saying, serving

OLD = "?old=1"
"""Has the server answer as `application/json`, with a 200 in any case."""


@pytest.mark.parametrize("how", ["", OLD])
async def test_a_query_that_works(web: str, how: str) -> None:
    """Its name is an attribute of every point, and its variables arrive."""
    found = await measured(
        f"{{endpoint: '{web}/graphql{how}', graphql: {{operation_name: Fine, "
        "query: 'query Fine($n: Int) { fine(times: $n) } query Other { broken }', variables: {n: 2}}, "
        "validations: [{json_path: data.fine, equals: yesyes}]}"
    )
    assert errors(found) == []
    assert status(found) == (200, "2xx")
    assert counts(found, "passed") == {"json_path": 1, "graphql": 1}
    names = {point["attributes"].get("graphql.operation.name") for every in found.values() for point in every}
    assert names == {"Fine"}


@pytest.mark.parametrize("how", ["", OLD])
@pytest.mark.parametrize("query", ["{ broken }", "{ nothing }", "{"])
async def test_an_answer_with_errors(web: str, how: str, query: str) -> None:
    """It is a failure though the status is 200; what the server says is not in the text."""
    found = await measured(f"{{endpoint: '{web}/graphql{how}', graphql: {{query: '{query}'}}}}")
    assert errors(found) == ["graphql: the answer has errors"]
    assert status(found) == (200, "2xx")
    assert counts(found, "failed") == {"graphql": 1}


async def test_errors_that_are_expected(web: str) -> None:
    """With `expect_no_errors: false` nobody minds."""
    found = await measured(f"{{endpoint: '{web}/graphql', graphql: {{query: '{{broken}}', expect_no_errors: false}}}}")
    assert (errors(found), counts(found, "failed")) == ([], {})


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"text/html", b'{"data": {}}'),
        (b"application/json", b"<html>"),
        (b"application/json", b"[1]"),
        (b"application/json", b"{}"),
        (b"application/json", b"[" * 5000),
        (b"application/json", b'{"errors": []}'),
    ],
)
async def test_an_answer_that_is_no_graphql(kind: bytes, body: bytes) -> None:
    """A page of a proxy is no success."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (kind, len(body))
    async with serving(saying(head + body)) as port:
        found = await measured(f"{{endpoint: 'http://127.0.0.1:{port}', graphql: {{query: '{{a}}'}}}}")
    assert errors(found) == ["graphql: the answer is no GraphQL"]
