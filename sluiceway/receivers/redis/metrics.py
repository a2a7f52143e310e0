"""The metrics of Redis: names, units and kinds as the Collector has them, then those that it does not have.

What the Collector has on is on. What only we have is off, but for streams and groups of keys, which somebody asked for
by naming them.
"""

from __future__ import annotations

from sluiceway.scraping import Metric, ResourceAttribute, counter, gauge, updowncounter

__all__ = ["METRICS", "RESOURCE"]

UPTIME = counter("redis.uptime", "s", "Number of seconds since the server's start.")
CPU_TIME = counter("redis.cpu.time", "s", "CPU time that the server has consumed.", "state", value=float)
CLIENTS_CONNECTED = updowncounter(
    "redis.clients.connected", "{client}", "Number of connections of clients, without those of replicas."
)
CLIENTS_BLOCKED = updowncounter("redis.clients.blocked", "{client}", "Number of clients that wait in a blocking call.")
CLIENTS_INPUT = gauge("redis.clients.max_input_buffer", "By", "Biggest input buffer among the clients' connections.")
CLIENTS_OUTPUT = gauge("redis.clients.max_output_buffer", "By", "Longest output list among the clients' connections.")
KEYS_EXPIRED = counter("redis.keys.expired", "{event}", "Number of keys that have expired.")
KEYS_EVICTED = counter("redis.keys.evicted", "{key}", "Number of keys evicted because of `maxmemory`.")
CONNECTIONS_RECEIVED = counter("redis.connections.received", "{connection}", "Number of connections accepted.")
CONNECTIONS_REJECTED = counter(
    "redis.connections.rejected", "{connection}", "Number of connections rejected because of `maxclients`."
)
MEMORY_USED = gauge("redis.memory.used", "By", "Bytes that the server has allocated.")
MEMORY_PEAK = gauge("redis.memory.peak", "By", "Most bytes that the server had allocated.")
MEMORY_RSS = gauge("redis.memory.rss", "By", "Bytes that the server has, as the operating system sees it.")
MEMORY_LUA = gauge("redis.memory.lua", "By", "Bytes that the Lua engine uses.")
FRAGMENTATION = gauge(
    "redis.memory.fragmentation_ratio", "1", "Ratio of `redis.memory.rss` to `redis.memory.used`.", value=float
)
RDB_CHANGES = updowncounter("redis.rdb.changes_since_last_save", "{change}", "Number of changes since the last dump.")
COMMANDS = gauge("redis.commands", "{ops}/s", "Number of commands a second, as the server says.")
COMMANDS_PROCESSED = counter("redis.commands.processed", "{command}", "Number of commands processed.")
NET_INPUT = counter("redis.net.input", "By", "Bytes read from the network.")
NET_OUTPUT = counter("redis.net.output", "By", "Bytes written to the network.")
HITS = counter("redis.keyspace.hits", "{hit}", "Number of lookups of keys that were there.")
MISSES = counter("redis.keyspace.misses", "{miss}", "Number of lookups of keys that were not there.")
LATEST_FORK = gauge("redis.latest_fork", "us", "How long the latest fork took.")
REPLICAS = updowncounter("redis.slaves.connected", "{replica}", "Number of connected replicas.")
BACKLOG_OFFSET = gauge(
    "redis.replication.backlog_first_byte_offset", "By", "Offset of the first byte in the replication backlog."
)
OFFSET = gauge("redis.replication.offset", "By", "The server's replication offset.")
DB_KEYS = gauge("redis.db.keys", "{key}", "Number of keys.", "db")
DB_EXPIRES = gauge("redis.db.expires", "{key}", "Number of keys that will expire.", "db")
DB_TTL = gauge("redis.db.avg_ttl", "ms", "Average time to live of the keys that will expire.", "db")

MAXMEMORY = gauge("redis.maxmemory", "By", "The setting `maxmemory`; 0 is no limit.", on=False)
ROLE = updowncounter("redis.role", "{role}", "1 for the role that the server has.", "role", on=False)
CMD_CALLS = counter("redis.cmd.calls", "{call}", "Number of calls of a command.", "cmd", on=False)
CMD_USEC = counter("redis.cmd.usec", "us", "Time that all calls of a command took.", "cmd", on=False)
CMD_LATENCY = gauge(
    "redis.cmd.latency", "s", "Latency of a command (Redis 7 and later).", "cmd", "percentile", value=float, on=False
)
REPLICA_OFFSET = gauge(
    "redis.replication.replica_offset", "By", "How far a replica has read its primary's stream.", on=False
)
MODE = gauge("redis.mode", "{mode}", "1 for the mode in which the server runs.", "mode", on=False)

SENTINEL_MASTERS = gauge("redis.sentinel.masters", "{master}", "Number of primaries that Sentinel watches.", on=False)
SENTINEL_SCRIPTS = gauge("redis.sentinel.running_scripts", "{script}", "Number of scripts that run.", on=False)
SENTINEL_QUEUE = gauge("redis.sentinel.scripts_queue_length", "{script}", "Number of scripts that wait.", on=False)
SENTINEL_FLAGS = gauge("redis.sentinel.simulate_failure_flags", "1", "Flags of simulated failures.", on=False)
SENTINEL_TILT = gauge("redis.sentinel.tilt", "1", "1 while Sentinel does not trust its clock (TILT).", on=False)
SENTINEL_TILT_SINCE = gauge("redis.sentinel.tilt_since_seconds", "s", "Time spent in TILT; -1 outside.", on=False)
SENTINEL_TILTS = counter("redis.sentinel.total_tilt", "{event}", "How often TILT began.", on=False)

CLUSTER_ENABLED = gauge("redis.cluster.cluster_enabled", "1", "1 for a server that is part of a cluster.", on=False)
CLUSTER_STATE = gauge(
    "redis.cluster.state", "{state}", "1 when the cluster is `ok`, 0 when it is `fail`.", "cluster_state", on=False
)
SLOTS_ASSIGNED = gauge("redis.cluster.slots_assigned", "{slot}", "Slots that some node has.", on=False)
SLOTS_OK = gauge("redis.cluster.slots_ok", "{slot}", "Slots whose node is well.", on=False)
SLOTS_PFAIL = gauge("redis.cluster.slots_pfail", "{slot}", "Slots whose node this one does not reach.", on=False)
SLOTS_FAIL = gauge("redis.cluster.slots_fail", "{slot}", "Slots whose node has failed.", on=False)
KNOWN_NODES = gauge("redis.cluster.known_nodes", "{node}", "Nodes that this one knows.", on=False)
NODE_COUNT = gauge("redis.cluster.node.count", "{node}", "Primaries that serve slots.", on=False)
MESSAGES_SENT = counter("redis.cluster.stats_messages_sent", "{message}", "Messages sent to other nodes.", on=False)
MESSAGES_RECEIVED = counter(
    "redis.cluster.stats_messages_received", "{message}", "Messages received from other nodes.", on=False
)
LINKS_EXCEEDED = counter(
    "redis.cluster.links_buffer_limit_exceeded.count",
    "{count}",
    "Links to other nodes that were closed because of `cluster-link-sendbuf-limit`.",
    on=False,
)

CMD_FAILED = counter("redis.cmd.failed", "{call}", "Number of calls of a command that failed.", "cmd", on=False)
CMD_REJECTED = counter("redis.cmd.rejected", "{call}", "Number of calls that were not carried out.", "cmd", on=False)
ERRORS = counter("redis.errors", "{error}", "Errors answered, by their first word.", "error", on=False)
HIT_RATIO = gauge(
    "redis.keyspace.hit_ratio", "1", "Hits among all lookups since the counters began.", value=float, on=False
)
CLIENTS_MAX = gauge("redis.clients.limit", "{client}", "The setting `maxclients`.", on=False)
CLIENTS_TRACKING = updowncounter("redis.clients.tracking", "{client}", "Clients that track keys.", on=False)
CLIENTS_EVICTED = counter("redis.clients.evicted", "{client}", "Clients evicted for their memory.", on=False)
MEMORY_OVERHEAD = gauge("redis.memory.overhead", "By", "Bytes that are no data: buffers and structures.", on=False)
MEMORY_DATASET = gauge("redis.memory.dataset", "By", "Bytes of the data.", on=False)
MEMORY_CLIENTS = gauge("redis.memory.clients", "By", "Bytes of clients' buffers.", "type", on=False)
MEMORY_BACKLOG = gauge("redis.memory.replication_backlog", "By", "Bytes of the replication backlog.", on=False)
MEMORY_AOF = gauge("redis.memory.aof_buffer", "By", "Bytes of the append-only file's buffers.", on=False)
RDB_OK = gauge("redis.rdb.last_save.success", "1", "1 when the last dump was written, 0 when it failed.", on=False)
RDB_AGE = gauge("redis.rdb.last_save.age", "s", "Time since the last dump.", on=False)
AOF_OK = gauge("redis.aof.last_write.success", "1", "1 when the last write to the file worked.", on=False)
SYNCS = counter("redis.replication.syncs", "{sync}", "Synchronisations with replicas.", "result", on=False)
LINK_UP = gauge("redis.replication.link.up", "1", "1 while a replica is connected to its primary.", on=False)
LINK_IO = gauge("redis.replication.link.last_io", "s", "Time since a replica heard of its primary.", on=False)
LAG = gauge("redis.replication.replica.lag", "By", "Bytes that a replica has not acknowledged.", "replica", on=False)
ACK_AGE = gauge(
    "redis.replication.replica.ack_age", "s", "Time since a replica acknowledged anything.", "replica", on=False
)

STREAM_LENGTH = gauge("redis.stream.length", "{entry}", "Entries of a stream.", "stream")
STREAM_LAG = gauge(
    "redis.stream.group.lag", "{entry}", "Entries not yet delivered to a group (Redis 7 and later).", "stream", "group"
)
STREAM_PENDING = gauge(
    "redis.stream.group.pending", "{entry}", "Entries delivered and not acknowledged.", "stream", "group"
)
STREAM_CONSUMERS = gauge("redis.stream.group.consumers", "{consumer}", "Consumers of a group.", "stream", "group")
GROUP_KEYS = gauge("redis.key_group.keys", "{key}", "Keys of a group, as the last complete pass found.", "key_group")
GROUP_MEMORY = gauge(
    "redis.key_group.memory", "By", "Bytes of a group's keys, as MEMORY USAGE estimates.", "key_group", on=False
)

METRICS: tuple[Metric, ...] = tuple(entry for entry in list(globals().values()) if isinstance(entry, Metric))

VERSION = ResourceAttribute("redis.version", "The server's version.")
VALKEY = ResourceAttribute(
    "valkey.version", "The version of Valkey, for which `redis.version` is what it can stand in for."
)
ADDRESS = ResourceAttribute("server.address", "Host, or path of the socket. On for nodes of a cluster.", enabled=False)
PORT = ResourceAttribute("server.port", "Port. On for nodes of a cluster.", enabled=False)
NODE_ID = ResourceAttribute("redis.cluster.node.id", "The id that a node of a cluster has.")
NODE_ROLE = ResourceAttribute("redis.cluster.node.role", "`primary` or `replica`, for nodes of a cluster.")

RESOURCE = (VERSION, VALKEY, ADDRESS, PORT, NODE_ID, NODE_ROLE)
