"""The settings `compression` and `compression_params` of HTTP clients, and the functions they choose.

gzip runs on ISA-L at levels 1 to 3, of which 1 is the default: a tenth of the time of zlib's own default for a body
that is about 15 % larger. The levels 4 to 9 mean zlib, for those who ask for them. zstd's default level is 3.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from types import ModuleType
from typing import Final

from sluiceway.config.types import Settings

__all__ = ["CompressionParams", "Compressor", "check_compression", "compressor", "zstd_module"]

Compressor = Callable[[bytes], bytes]

NONE: Final = frozenset({"", "none"})
_WINDOW: Final = {"gzip": 31, "zlib": 15, "deflate": 15}  # HTTP's deflate is zlib's format, RFC 9110 §8.4.1.2
_ISAL_LEVELS: Final = {-1: 1, 1: 1, 2: 2, 3: 3}
_HUFFMAN_ONLY: Final = -2
_UNSUPPORTED: Final = frozenset({"snappy", "x-snappy-framed", "lz4"})


class CompressionParams(Settings):
    """The section `compression_params`."""

    level: int = -1
    """How hard to compress. For gzip, zlib and deflate -2 (Huffman coding only), -1 (the default), or 0 (not at all)
    to 9; for zstd any of its own levels, with -1 and 0 for the default."""


def check_compression(name: str, params: CompressionParams) -> None:
    """Raise `ValueError`, with the Collector's text where it has one, for what `compressor` cannot do."""
    if name in NONE or name == "zstd":
        return
    if name in _UNSUPPORTED:
        raise ValueError(f'compression "{name}" is not available here; use gzip, zstd, zlib, deflate or none')
    if name not in _WINDOW:
        raise ValueError(f'unsupported compression type "{name}" (valid values: [gzip zstd zlib deflate none])')
    if not _HUFFMAN_ONLY <= params.level <= 9:
        raise ValueError(f'unsupported parameters {{Level:{params.level}}} for compression type "{name}"')


def compressor(name: str, level: int = -1) -> Compressor | None:
    """The function that compresses whole bodies by the encoding called `name`; None for no compression.

    It lets other threads run while it works.
    """
    if name in NONE:
        return None
    if name == "zstd":
        return _zstd(level)
    if level in _ISAL_LEVELS:
        return _isal(_ISAL_LEVELS[level], _WINDOW[name])
    return _zlib(level, _WINDOW[name])


def zstd_module() -> ModuleType:
    """The library for zstd: Python's own from 3.14 on, and before that the one from which it was made."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def _zstd(level: int) -> Compressor:
    # The Collector takes any level and uses the nearest there is.
    zstd, chosen = zstd_module(), min(max(level, -131_072), 22) if level not in (-1, 0) else 3
    return lambda body: zstd.compress(body, chosen)


def _isal(level: int, window: int) -> Compressor:
    from isal import isal_zlib

    return lambda body: isal_zlib.compress(body, level, window)


def _zlib(level: int, window: int) -> Compressor:
    strategy = zlib.Z_HUFFMAN_ONLY if level == _HUFFMAN_ONLY else zlib.Z_DEFAULT_STRATEGY
    effort = max(level, 0) if level != _HUFFMAN_ONLY else 1

    def compress(body: bytes) -> bytes:
        stream = zlib.compressobj(effort, zlib.DEFLATED, window, 8, strategy)
        return stream.compress(body) + stream.flush()

    return compress
