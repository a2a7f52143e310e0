"""The compression of HTTP bodies."""

from __future__ import annotations

import gzip
import zlib

import pytest

from sluiceway.config.compression import CompressionParams, check_compression, compressor, zstd_module

zstd = zstd_module()
BODY = b"the same words, again and again; " * 500
UNPACK = {"gzip": gzip.decompress, "zlib": zlib.decompress, "deflate": zlib.decompress, "zstd": zstd.decompress}


@pytest.mark.parametrize("name", UNPACK)
@pytest.mark.parametrize("level", [-2, -1, 0, 1, 2, 3, 4, 9])
def test_every_level_gives_the_body_back(name, level):
    """What is compressed is what is unpacked, at every level that may be configured."""
    check_compression(name, CompressionParams(level=level))
    compress = compressor(name, level)
    assert compress is not None
    packed = compress(BODY)
    assert UNPACK[name](packed) == BODY
    assert (len(packed) < len(BODY)) is (level != 0 or name == "zstd")


@pytest.mark.parametrize("name", ["", "none"])
def test_no_compression(name):
    """Both spellings leave bodies alone."""
    check_compression(name, CompressionParams(level=77))
    assert compressor(name) is None


@pytest.mark.parametrize(
    ("name", "level", "text"),
    [
        ("lz4", -1, 'compression "lz4" is not available here; use gzip, zstd, zlib, deflate or none'),
        ("brotli", -1, 'unsupported compression type "brotli" (valid values: [gzip zstd zlib deflate none])'),
        ("gzip", 10, 'unsupported parameters {Level:10} for compression type "gzip"'),
        ("zlib", -3, 'unsupported parameters {Level:-3} for compression type "zlib"'),
    ],
)
def test_what_cannot_be_done_is_refused(name, level, text):
    """The texts say what is possible."""
    with pytest.raises(ValueError) as caught:
        check_compression(name, CompressionParams(level=level))
    assert str(caught.value) == text
