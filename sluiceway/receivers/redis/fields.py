"""Which field of INFO is which metric, and how it is recorded."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sluiceway.receivers.redis import metrics as m
from sluiceway.receivers.redis.info import Info
from sluiceway.receivers.redis.life import Life
from sluiceway.scraping import Metric, Recorder

__all__ = ["record_cluster", "record_info"]

LONGEST_NAME: Final = 100
"""Characters of a command's or an error's name."""


@dataclass(frozen=True, slots=True)
class _Field:
    metric: Metric
    names: tuple[str, ...]
    """What servers of different age call it."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    lasting: bool = False
    """Whether CONFIG RESETSTAT leaves it alone."""
    least: float | None = None
    """Smaller values say that there is none."""


def _cpu(state: str) -> _Field:
    return _Field(m.CPU_TIME, (f"used_cpu_{state}",), {"state": state}, lasting=True)


_INFO: Final = (
    _Field(m.UPTIME, ("uptime_in_seconds",), lasting=True),
    *map(_cpu, ("sys", "sys_children", "sys_main_thread", "user", "user_children", "user_main_thread")),
    _Field(m.CLIENTS_CONNECTED, ("connected_clients",), lasting=True),
    _Field(m.CLIENTS_BLOCKED, ("blocked_clients",), lasting=True),
    _Field(m.CLIENTS_INPUT, ("client_recent_max_input_buffer", "client_biggest_input_buf")),
    _Field(m.CLIENTS_OUTPUT, ("client_recent_max_output_buffer", "client_longest_output_list")),
    _Field(m.KEYS_EXPIRED, ("expired_keys",)),
    _Field(m.KEYS_EVICTED, ("evicted_keys",)),
    _Field(m.CONNECTIONS_RECEIVED, ("total_connections_received",)),
    _Field(m.CONNECTIONS_REJECTED, ("rejected_connections",)),
    _Field(m.MEMORY_USED, ("used_memory",)),
    _Field(m.MEMORY_PEAK, ("used_memory_peak",)),
    _Field(m.MEMORY_RSS, ("used_memory_rss",)),
    _Field(m.MEMORY_LUA, ("used_memory_lua", "used_memory_vm_eval")),
    _Field(m.FRAGMENTATION, ("mem_fragmentation_ratio",)),
    _Field(m.RDB_CHANGES, ("rdb_changes_since_last_save",), lasting=True),
    _Field(m.COMMANDS, ("instantaneous_ops_per_sec",)),
    _Field(m.COMMANDS_PROCESSED, ("total_commands_processed",)),
    _Field(m.NET_INPUT, ("total_net_input_bytes",)),
    _Field(m.NET_OUTPUT, ("total_net_output_bytes",)),
    _Field(m.HITS, ("keyspace_hits",)),
    _Field(m.MISSES, ("keyspace_misses",)),
    _Field(m.LATEST_FORK, ("latest_fork_usec",)),
    _Field(m.REPLICAS, ("connected_slaves", "connected_replicas"), lasting=True),
    _Field(m.BACKLOG_OFFSET, ("repl_backlog_first_byte_offset",)),
    _Field(m.OFFSET, ("master_repl_offset",)),
    _Field(m.MAXMEMORY, ("maxmemory",)),
    _Field(m.REPLICA_OFFSET, ("slave_repl_offset", "replica_repl_offset")),
    _Field(m.CLUSTER_ENABLED, ("cluster_enabled",)),
    _Field(m.SENTINEL_MASTERS, ("sentinel_masters",)),
    _Field(m.SENTINEL_SCRIPTS, ("sentinel_running_scripts",)),
    _Field(m.SENTINEL_QUEUE, ("sentinel_scripts_queue_length",)),
    _Field(m.SENTINEL_FLAGS, ("sentinel_simulate_failure_flags",)),
    _Field(m.SENTINEL_TILT, ("sentinel_tilt",)),
    _Field(m.SENTINEL_TILT_SINCE, ("sentinel_tilt_since_seconds",)),
    _Field(m.SENTINEL_TILTS, ("sentinel_total_tilt",), lasting=True),
    _Field(m.CLIENTS_MAX, ("maxclients",)),
    _Field(m.CLIENTS_TRACKING, ("tracking_clients",), lasting=True),
    _Field(m.CLIENTS_EVICTED, ("evicted_clients",)),
    _Field(m.MEMORY_OVERHEAD, ("used_memory_overhead",)),
    _Field(m.MEMORY_DATASET, ("used_memory_dataset",)),
    _Field(m.MEMORY_CLIENTS, ("mem_clients_normal",), {"type": "normal"}),
    _Field(m.MEMORY_CLIENTS, ("mem_clients_slaves", "mem_clients_replicas"), {"type": "replica"}),
    _Field(m.MEMORY_BACKLOG, ("mem_replication_backlog",)),
    _Field(m.MEMORY_AOF, ("mem_aof_buffer",)),
    _Field(m.SYNCS, ("sync_full",), {"result": "full"}),
    _Field(m.SYNCS, ("sync_partial_ok",), {"result": "partial"}),
    _Field(m.SYNCS, ("sync_partial_err",), {"result": "partial_refused"}),
    _Field(m.LINK_IO, ("master_last_io_seconds_ago",), least=0),
)

_CLUSTER: Final = (
    _Field(m.SLOTS_ASSIGNED, ("cluster_slots_assigned",)),
    _Field(m.SLOTS_OK, ("cluster_slots_ok",)),
    _Field(m.SLOTS_PFAIL, ("cluster_slots_pfail",)),
    _Field(m.SLOTS_FAIL, ("cluster_slots_fail",)),
    _Field(m.KNOWN_NODES, ("cluster_known_nodes",)),
    _Field(m.NODE_COUNT, ("cluster_size",)),
    _Field(m.MESSAGES_SENT, ("cluster_stats_messages_sent",), lasting=True),
    _Field(m.MESSAGES_RECEIVED, ("cluster_stats_messages_received",), lasting=True),
    _Field(m.LINKS_EXCEEDED, ("total_cluster_links_buffer_limit_exceeded",), lasting=True),
)

_STATES: Final = (
    (m.LINK_UP, "master_link_status", "up"),
    (m.RDB_OK, "rdb_last_bgsave_status", "ok"),
    (m.AOF_OK, "aof_last_write_status", "ok"),
)
_NUMBER: Final = re.compile(r"[0-9]{1,6}")
_PERCENTILES: Final = ("p50", "p99", "p99.9")


def record_info(to: Recorder, info: Info, life: Life) -> None:
    """Record what INFO says of one server; what it does not say is left out."""
    _record_fields(_INFO, to, info, life)
    _record_states(to, info)
    _record_databases(to, info)
    _record_commands(to, info, life)
    _record_replicas(to, info)
    hits, misses = info.number("keyspace_hits"), info.number("keyspace_misses")
    if hits is not None and misses is not None and hits + misses > 0:
        to.record(m.HIT_RATIO, hits / (hits + misses))
    saved = info.number("rdb_last_save_time")
    if saved is not None and saved > 0:
        to.record(m.RDB_AGE, max(life.time // 1_000_000_000 - saved, 0))


def record_cluster(to: Recorder, info: Info, life: Life) -> None:
    """Record what CLUSTER INFO says: the cluster as one node sees it."""
    _record_fields(_CLUSTER, to, info, life)
    if state := info.text("cluster_state"):
        well = state == "ok"
        to.record(m.CLUSTER_STATE, int(well), {"cluster_state": "ok" if well else "fail"})


def _record_fields(fields: tuple[_Field, ...], to: Recorder, info: Info, life: Life) -> None:
    for entry in fields:
        value = info.number(*entry.names)
        if value is not None and (entry.least is None or value >= entry.least):
            start = life.started if entry.lasting else life.counting
            to.record(entry.metric, value, entry.attributes, start=start)


def _record_states(to: Recorder, info: Info) -> None:
    for metric, name, good in _STATES:
        if state := info.text(name):
            to.record(metric, int(state == good))
    if role := info.text("role"):
        to.record(m.ROLE, 1, {"role": "primary" if role == "master" else "replica"})
    if (mode := info.text("redis_mode") or info.text("server_mode")) in ("standalone", "sentinel", "cluster"):
        to.record(m.MODE, 1, {"mode": mode})


def _record_databases(to: Recorder, info: Info) -> None:
    for number, parts in info.entries("db"):
        if _NUMBER.fullmatch(number):
            read = _reader(info, f"db{number}", parts)
            for metric, key in ((m.DB_KEYS, "keys"), (m.DB_EXPIRES, "expires"), (m.DB_TTL, "avg_ttl")):
                if (value := read(key)) is not None:
                    to.record(metric, value, {"db": number})


def _record_commands(to: Recorder, info: Info, life: Life) -> None:
    counted = (
        (m.CMD_CALLS, "calls"), (m.CMD_USEC, "usec"), (m.CMD_FAILED, "failed_calls"), (m.CMD_REJECTED, "rejected_calls")
    )  # fmt: skip
    for name, parts in info.entries("cmdstat_"):
        read = _reader(info, f"cmdstat_{name}", parts)
        for metric, key in counted:
            if (value := read(key)) is not None:
                to.record(metric, value, {"cmd": name[:LONGEST_NAME]}, start=life.counting)
    for name, parts in info.entries("latency_percentiles_usec_"):
        read = _reader(info, f"latency_percentiles_usec_{name}", parts)
        for percentile in _PERCENTILES:
            if (value := read(percentile)) is not None:
                to.record(m.CMD_LATENCY, value / 1e6, {"cmd": name[:LONGEST_NAME], "percentile": percentile})
    for name, parts in info.entries("errorstat_"):
        if (value := _reader(info, f"errorstat_{name}", parts)("count")) is not None:
            to.record(m.ERRORS, value, {"error": name[:LONGEST_NAME]}, start=life.counting)


def _record_replicas(to: Recorder, info: Info) -> None:
    offset = info.number("master_repl_offset")
    for number, parts in info.entries("slave"):
        if not _NUMBER.fullmatch(number) or "ip" not in parts:
            continue
        host = f"[{parts['ip']}]" if ":" in parts["ip"] else parts["ip"]
        attributes = {"replica": f"{host}:{parts.get('port', '')}"[:LONGEST_NAME]}
        read = _reader(info, f"slave{number}", parts)
        seen, age = read("offset"), read("lag")
        if offset is not None and seen is not None:
            to.record(m.LAG, max(offset - seen, 0), attributes)
        if age is not None and age >= 0:
            to.record(m.ACK_AGE, age, attributes)


def _reader(info: Info, name: str, parts: Mapping[str, str]) -> Callable[[str], float | None]:
    return lambda key: info.read(name, parts.get(key))
