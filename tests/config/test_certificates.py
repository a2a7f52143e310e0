"""How long a certificate is valid."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import trustme

from sluiceway.config.certificates import lapse

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="module", params=["RSA", "ECDSA"])
def authority(request):
    """An authority whose certificates are long or short."""
    return trustme.CA(key_type=trustme.KeyType[request.param])


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        (NOW - DAY, NOW + 2 * DAY, ""),
        (NOW - DAY, datetime(2060, 1, 1, tzinfo=UTC), ""),
        (NOW - DAY, NOW + DAY / 2, "expires soon, on "),
        (
            datetime(2010, 1, 1, tzinfo=UTC),
            datetime(2020, 2, 3, 4, 5, tzinfo=UTC),
            "has expired on 2020-02-03 04:05 UTC",
        ),
        (
            datetime(2059, 1, 1, tzinfo=UTC),
            datetime(2060, 1, 1, tzinfo=UTC),
            "is not valid before 2059-01-01 00:00 UTC",
        ),
    ],
)
def test_a_certificate_that_is_no_good_is_told(authority, first, last, text):
    """Because it has expired, or does so within a day, or is not valid yet; of a chain the first one counts."""
    leaf = authority.issue_cert("h", not_before=first, not_after=last)
    said = lapse(leaf.cert_chain_pems[0].bytes() + authority.cert_pem.bytes())
    assert said.startswith(text)
    assert bool(said) is bool(text)


@pytest.mark.parametrize("junk", [b"", b"rubbish", b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----"])
def test_what_is_no_certificate_is_not_told(junk):
    """That is for those who load it."""
    assert lapse(junk) == ""
