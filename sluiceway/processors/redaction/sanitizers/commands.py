"""Commands of Redis, Valkey and memcached without the values in them."""

from __future__ import annotations

from io import StringIO
from typing import Final

__all__ = ["looks_like_memcached", "looks_like_redis", "sanitize_memcached", "sanitize_redis"]

_WITHOUT_KEY: Final = frozenset(
    {"AUTH", "HELLO", "CONFIG", "ACL", "EVAL", "EVALSHA", "ECHO", "PING", "PUBLISH", "CLIENT"}
)
_COMMANDS: Final = _WITHOUT_KEY | {
    "APPEND", "BLPOP", "BRPOP", "DECR", "DEL", "EXISTS", "EXPIRE", "GET", "GETDEL", "GETEX", "GETSET", "HDEL", "HGET",
    "HGETALL", "HMGET", "HMSET", "HSET", "HSETNX", "INCR", "INCRBY", "LPOP", "LPUSH", "LRANGE", "LREM", "LSET", "MGET",
    "MSET", "MSETNX", "PSETEX", "RPOP", "RPUSH", "SADD", "SET", "SETEX", "SETNX", "SETRANGE", "SISMEMBER", "SMEMBERS",
    "SREM", "TTL", "UNLINK", "XADD", "XREAD", "ZADD", "ZRANGE", "ZREM", "ZSCORE",
}  # fmt: skip
_STORING: Final = frozenset({"set", "add", "replace", "append", "prepend", "cas"})


def looks_like_redis(text: str) -> bool:
    """Whether a text begins with a command of Redis, in capitals."""
    return text.partition(" ")[0] in _COMMANDS


def looks_like_memcached(text: str) -> bool:
    """Whether a text begins with a command of memcached that data follow."""
    return "\r\n" in text and text.partition(" ")[0] in _STORING


def sanitize_redis(text: str) -> str:
    """Commands, one a line, with the key of each and `?` for all further arguments."""
    out = StringIO()
    for line in StringIO(text):
        out.write(_sanitize_line(line))
    return out.getvalue()


def _sanitize_line(line: str) -> str:
    words = line.split(maxsplit=2)
    kept = 1 if words and words[0].upper() in _WITHOUT_KEY else 2
    end = "\n" if line[-1] == "\n" else ""
    return " ".join((*words[:kept], "?")) + end if len(words) > kept else line


def sanitize_memcached(text: str) -> str:
    """The first line of a command, without the data that follow it."""
    return text.partition("\r\n")[0]
