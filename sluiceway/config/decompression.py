"""Decompression of what others send, bounded while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from sluiceway.config.compression import zstd_module
from sluiceway.errors import DecodeError, TooLargeError

__all__ = ["CODINGS", "decompress"]

_WINDOW: Final = 256 * 1024
_MAX_FRAMES: Final = 256
_ZSTD_WINDOW_LOG: Final = 23  # 8 MiB, the most that RFC 9659 lets a Content-Encoding ask for


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: Any, max_length: int = -1, /) -> bytes: ...


def _gzip() -> _Decompressor:
    from isal.igzip_lib import DECOMP_GZIP, IgzipDecompressor

    decompressor: _Decompressor = IgzipDecompressor(DECOMP_GZIP)
    return decompressor


def _zlib() -> _Decompressor:
    from isal.igzip_lib import DECOMP_ZLIB, IgzipDecompressor

    decompressor: _Decompressor = IgzipDecompressor(DECOMP_ZLIB)
    return decompressor


def _zstd() -> _Decompressor:
    zstd = zstd_module()
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
    decompressor: _Decompressor = zstd.ZstdDecompressor(options=options)
    return decompressor


CODINGS: Final[dict[str, Callable[[], _Decompressor]]] = {
    "gzip": _gzip,
    "zlib": _zlib,
    "deflate": _zlib,
    "zstd": _zstd,
}
"""The Content-Encodings that can be decoded. `deflate` is zlib's format, as HTTP has it."""


def decompress(coding: str, data: bytes | memoryview, limit: int) -> bytes:
    """Decompress the whole of `data`, which may be several gzip members or zstd frames one after the other.

    Raises `TooLargeError` as soon as the result is longer than `limit`, and `DecodeError` when the data is damaged,
    cut off, or followed by something else. Memory stays within `limit` and one window.
    """
    pieces: list[bytes] = []
    _run(coding, memoryview(data), limit, pieces)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _run(coding: str, rest: memoryview, limit: int, pieces: list[bytes]) -> None:
    frames, decompressor = 1, CODINGS[coding]()
    while True:
        window = rest[:_WINDOW]
        try:
            piece = decompressor.decompress(window, limit + 1)
        except MemoryError:
            raise
        except Exception as error:  # each library has errors of its own, and each means bad data
            raise DecodeError(f"the body is not valid {coding}") from error
        limit -= len(piece)
        if limit < 0:
            raise TooLargeError("the decompressed body is too large")
        if piece:
            pieces.append(piece)
        if not decompressor.eof:
            rest = rest[len(window) :]
            if not rest and decompressor.needs_input:
                raise DecodeError("the compressed body is cut off")
            continue
        rest = rest[len(window) - len(decompressor.unused_data) :]
        if not rest:
            return
        frames += 1
        if frames > _MAX_FRAMES:
            raise DecodeError("the compressed body has too many parts")
        decompressor = CODINGS[coding]()
