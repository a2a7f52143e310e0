"""The tables of status codes."""

import grpc

from sluiceway.otlp.status import CODE_OF_HTTP, HTTP_OF_CODE, RETRYABLE, RETRYABLE_HTTP, Code


def test_codes_are_those_of_grpc():
    """Each code has the number that gRPC gives it."""
    assert {code.name: code.value for code in Code} == {code.name: code.value[0] for code in grpc.StatusCode}


def test_tables_agree_on_what_may_be_sent_again():
    """A code and the HTTP status that says it both let the data be sent again, or neither does."""
    assert all((status in RETRYABLE_HTTP) == (code in RETRYABLE) for code, status in HTTP_OF_CODE.items())
    assert {status for status, code in CODE_OF_HTTP.items() if code in RETRYABLE} == RETRYABLE_HTTP - {429}
