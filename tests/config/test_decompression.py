"""Decompression: whole, bounded, and nothing behind the end."""

import gzip
import sys
import zlib
from types import SimpleNamespace

import pytest

from sluiceway.config.compression import zstd_module
from sluiceway.config.decompression import CODINGS, decompress
from sluiceway.errors import DecodeError, TooLargeError

zstd = zstd_module()
TEXT = b"telemetry " * 50_000
PACK = {"gzip": gzip.compress, "zlib": zlib.compress, "deflate": zlib.compress, "zstd": zstd.compress}


@pytest.mark.parametrize("coding", PACK)
def test_a_body_comes_back(coding):
    """Each coding gives what was compressed, also from a view and at exactly the limit."""
    assert decompress(coding, memoryview(PACK[coding](TEXT)), len(TEXT)) == TEXT


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_all_members_are_read(coding):
    """A body may be several members or frames; none is lost."""
    pack = PACK[coding]
    assert decompress(coding, pack(TEXT) + pack(b"") + pack(b"more"), len(TEXT) + 4) == TEXT + b"more"


@pytest.mark.parametrize("coding", PACK)
def test_too_long_a_body_is_refused(coding):
    """One byte beyond the limit is too much."""
    with pytest.raises(TooLargeError):
        decompress(coding, PACK[coding](TEXT), len(TEXT) - 1)


@pytest.mark.parametrize("coding", PACK)
def test_a_body_cut_anywhere_is_refused(coding):
    """A cut body is never taken for a shorter one."""
    whole = PACK[coding](b"telemetry" * 10)
    for length in range(len(whole)):
        with pytest.raises(DecodeError):
            decompress(coding, whole[:length], 1000)


@pytest.mark.parametrize("coding", PACK)
def test_what_follows_the_end_must_be_a_part(coding):
    """Garbage behind the end, and garbage alone, are refused."""
    for body in (PACK[coding](TEXT) + b"garbage", b"garbage that is long enough to be looked at"):
        with pytest.raises(DecodeError):
            decompress(coding, body, 1 << 20)


def test_a_damaged_checksum_is_noticed():
    """A gzip body whose content does not fit its checksum is refused."""
    body = bytearray(gzip.compress(TEXT))
    body[-5] ^= 1
    with pytest.raises(DecodeError):
        decompress("gzip", bytes(body), 1 << 20)


def test_the_number_of_parts_is_bounded():
    """Endless empty members are refused."""
    with pytest.raises(DecodeError, match="too many parts"):
        decompress("gzip", gzip.compress(b"") * 1000, 1000)


def test_a_large_window_is_refused():
    """A zstd frame that asks for more than 8 MiB of window is refused before it is allocated."""
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.enable_long_distance_matching: 1}
    compressor = zstd.ZstdCompressor(options=options)
    body = compressor.compress(TEXT) + compressor.flush()
    with pytest.raises(DecodeError):
        decompress("zstd", body, 1 << 20)


def test_python_that_has_zstd_needs_no_other(monkeypatch):
    """From 3.14 on the standard library's module is used, as `backports.zstd` is not installed there."""
    monkeypatch.setattr(sys, "version_info", (3, 14))
    monkeypatch.setitem(sys.modules, "compression", SimpleNamespace(zstd=zstd))
    monkeypatch.setitem(sys.modules, "backports", None)
    assert decompress("zstd", zstd.compress(TEXT), len(TEXT)) == TEXT


def test_a_library_that_is_missing_is_not_the_senders_fault(monkeypatch):
    """What fails before the body is looked at, or for want of memory, does not make the sender drop its data."""

    class Exhausted:
        def decompress(self, *_):
            raise MemoryError

    def missing():
        raise ImportError

    monkeypatch.setitem(CODINGS, "gzip", missing)
    with pytest.raises(ImportError):
        decompress("gzip", gzip.compress(TEXT), len(TEXT))
    monkeypatch.setitem(CODINGS, "gzip", Exhausted)
    with pytest.raises(MemoryError):
        decompress("gzip", gzip.compress(TEXT), len(TEXT))
