"""The nodes of a cluster, as one of them tells them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from sluiceway.receivers.redis.connection import Address, Denied, Link, Refused, Reply

__all__ = ["Member", "members"]

MOST_NODES: Final = 1000
"""Nodes that are measured; Redis says that a cluster should not have more."""
_HOST: Final = re.compile(r"[0-9a-zA-Z._:%-]{1,255}")
_NODE_ID: Final = re.compile(r"[0-9a-zA-Z]{1,64}")


@dataclass(frozen=True, slots=True)
class Member:
    """One node of a cluster."""

    id: str
    address: Address
    primary: bool


async def members(link: Link, *, tls: bool) -> list[Member] | Refused:
    """Ask a node for all nodes: by CLUSTER SHARDS, or as servers before Redis 7 can tell it; or why it does not say.

    Nodes without an address are left out. A node that does not know its own host is where it was asked.
    """
    host = link.address.host
    (shards,) = await link.ask(("CLUSTER", "SHARDS"))
    if isinstance(shards, list) and (found := list(islice(_shards(shards, host, tls=tls), MOST_NODES))):
        return found
    (nodes,) = await link.ask(("CLUSTER", "NODES"))
    if isinstance(nodes, bytes) and (found := list(islice(_nodes(nodes, host), MOST_NODES))):
        return found
    (slots,) = await link.ask(("CLUSTER", "SLOTS"))
    if isinstance(slots, list) and (found := list(islice(_slots(slots, host), MOST_NODES))):
        return found
    return next((reply for reply in (shards, nodes, slots) if isinstance(reply, Denied)), Refused("it names no nodes"))


def _shards(reply: list[Reply], host: str, *, tls: bool) -> Iterator[Member]:
    for shard in map(_mapping, reply):
        nodes = shard.get("nodes")
        for node in map(_mapping, nodes if isinstance(nodes, list) else ()):
            port = node.get("tls-port" if tls else "port") or node.get("port") or node.get("tls-port")
            where = _text(node.get("endpoint")) or _text(node.get("ip"))
            yield from _member(_text(node.get("id")), where, port, host, primary=_text(node.get("role")) == "master")


def _nodes(reply: bytes, host: str) -> Iterator[Member]:
    """Lines such as `<id> 127.0.0.1:7000@17000,name myself,master - 0 0 1 connected 0-5460`."""
    for line in reply.decode(errors="replace").split("\n"):
        parts = line.split()
        if len(parts) < 3:
            continue
        where, _, name = parts[1].partition(",")
        ip, _, port = where.partition("@")[0].rpartition(":")
        flags = parts[2].split(",")
        if "noaddr" not in flags and "handshake" not in flags and port.isdigit():
            yield from _member(parts[0], ip or name.partition(",")[0], int(port[:6]), host, primary="master" in flags)


def _slots(reply: list[Reply], host: str) -> Iterator[Member]:
    """Ranges as `[first, last, primary, replica, ...]`, each node as `[host, port, id, ...]`."""
    seen = set()
    for entry in reply:
        for place, node in enumerate(entry[2:] if isinstance(entry, list) else ()):
            if not isinstance(node, list) or len(node) < 3 or (name := _text(node[2])) in seen:
                continue
            seen.add(name)
            yield from _member(name, _text(node[0]), node[1], host, primary=place == 0)


def _member(name: str, where: str, port: Reply, host: str, *, primary: bool) -> Iterator[Member]:
    where = host if where in ("", "?") else where
    if _NODE_ID.fullmatch(name) and _HOST.fullmatch(where) and isinstance(port, int) and 0 < port < 65_536:
        yield Member(name, Address(where, port), primary)


def _mapping(reply: Reply) -> dict[str, Reply]:
    """What RESP2 writes as a list of keys and values in turn."""
    if not isinstance(reply, list):
        return {}
    return dict(zip(map(_text, reply[::2]), reply[1::2], strict=False))


def _text(reply: Reply) -> str:
    match reply:
        case bytes():
            return reply.decode(errors="replace")
        case _:
            return ""
