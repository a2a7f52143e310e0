"""What librdkafka's errors mean: which setting to mend, and whether it is worth to come again.

Almost every error of Kafka is one of the cluster, of its settings or of ours, and ends when somebody mends that; data
waits until then. Only what a broker says of a message itself is for good.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sluiceway.config.advice import tls_advice
from sluiceway.errors import DeliveryError, PermanentError, RetryableError
from sluiceway.otlp.responses import one_line

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

__all__ = ["TOO_LARGE", "advice", "delivery_error", "explain"]

TOO_LARGE: Final = frozenset({"MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"})
_BAD_DATA: Final = frozenset({"INVALID_MSG", "INVALID_RECORD", "INVALID_TIMESTAMP", "UNSUPPORTED_FOR_MESSAGE_FORMAT"})
_NO_TOPIC: Final = frozenset({"_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION", "UNKNOWN_TOPIC_OR_PART", "UNKNOWN_TOPIC_ID"})
_CODES: Final = {
    "_MSG_TIMED_OUT": "DEADLINE_EXCEEDED",
    "_TIMED_OUT": "DEADLINE_EXCEEDED",
    "REQUEST_TIMED_OUT": "DEADLINE_EXCEEDED",
    "_AUTHENTICATION": "UNAUTHENTICATED",
    "SASL_AUTHENTICATION_FAILED": "UNAUTHENTICATED",
    "TOPIC_AUTHORIZATION_FAILED": "PERMISSION_DENIED",
    "GROUP_AUTHORIZATION_FAILED": "PERMISSION_DENIED",
    "CLUSTER_AUTHORIZATION_FAILED": "PERMISSION_DENIED",
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED": "PERMISSION_DENIED",
    **dict.fromkeys(_NO_TOPIC, "NOT_FOUND"),
    **dict.fromkeys(TOO_LARGE, "RESOURCE_EXHAUSTED"),
    **dict.fromkeys(_BAD_DATA, "INVALID_ARGUMENT"),
}
_FOR_OPERATORS: Final = frozenset(
    {
        "_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED", "UNSUPPORTED_SASL_MECHANISM", "ILLEGAL_SASL_STATE", "_SSL",
        "TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED", "TOPIC_EXCEPTION",
        "UNSUPPORTED_COMPRESSION_TYPE", *_NO_TOPIC,
    }
)  # fmt: skip
_NO_HOST: Final = re.compile("failed to resolve", re.IGNORECASE)
_BROKER: Final = re.compile(r"(?:(?:sasl_)?(?:ssl|plaintext)://)?([^/\s]+)/(?:\d+|bootstrap)")
_SPEAKS_TLS: Final = ("SSL handshake", "unexpected message size", "Invalid response size", "Receive failed: invalid")


def delivery_error(error: KafkaError, *, topic: str = "", group: str = "") -> DeliveryError:
    """What to raise for an error, with what to do about it."""
    name, text = error.name(), explain(error, topic=topic, group=group)
    code = _CODES.get(name, "UNAVAILABLE")
    if name in TOO_LARGE | _BAD_DATA:
        return PermanentError(text, code=code)
    return RetryableError(text, code=code, advice=advice(error, topic=topic, group=group))


def advice(error: KafkaError, *, topic: str = "", group: str = "") -> str:
    """What an operator must do where nothing else will help, for health checks; empty for what passes by itself."""
    if error.name() not in _FOR_OPERATORS:
        return ""
    about = f'topic "{topic}": ' if topic else f'group "{group}": ' if group else ""
    return about + _advice(error.name(), error.str(), topic, group)


def explain(error: KafkaError, *, topic: str = "", group: str = "") -> str:
    """An error as a sentence: librdkafka's words, the topic or group it is about, and the setting to look at."""
    words = one_line(error.str())
    name = error.name()
    about = f'topic "{topic}": ' if topic else f'group "{group}": ' if group else ""
    found = _advice(name, words, topic, group)
    return f"{about}{words}{'; ' if found else ''}{found}"


def _advice(name: str, words: str, topic: str, group: str) -> str:
    match name:
        case "_AUTHENTICATION" | "SASL_AUTHENTICATION_FAILED":
            where = "see auth::sasl (username, password, mechanism), and whether that port asks for a password"
            return f"the broker does not accept who we are: {where}"
        case "UNSUPPORTED_SASL_MECHANISM" | "ILLEGAL_SASL_STATE":
            return "the broker does not know the mechanism, or asks for none: see auth::sasl::mechanism"
        case "_RESOLVE":
            return "the broker's name is not known here: see brokers, and the broker's advertised.listeners"
        case "_SSL":
            return _about_tls(words) or "see tls, and whether that port of the broker speaks TLS"
        case "_TRANSPORT" | "_ALL_BROKERS_DOWN" | "NETWORK_EXCEPTION":
            return _connection_advice(words)
        case "TOPIC_AUTHORIZATION_FAILED":
            return f'the user may not do this: an ACL of the cluster must allow it for topic "{topic}"'
        case "GROUP_AUTHORIZATION_FAILED":
            return f'the user may not read as this group: an ACL must allow Read for group "{group}" (group_id)'
        case "CLUSTER_AUTHORIZATION_FAILED":
            return "the user may not do this: an ACL must allow it (IdempotentWrite on the cluster, before Kafka 2.8)"
        case "_FATAL" | "FENCED_INSTANCE_ID" if "group.instance.id" in words:
            return "another member of the group has the same group_instance_id"
        case "TOPIC_EXCEPTION":
            return "no such name is allowed for a topic"
        case "NOT_ENOUGH_REPLICAS" | "NOT_ENOUGH_REPLICAS_AFTER_APPEND":
            return "fewer replicas are in sync than the topic's min.insync.replicas asks for"
        case "UNSUPPORTED_COMPRESSION_TYPE":
            return "the broker does not know that compression: see producer::compression"
        case "_MSG_TIMED_OUT":
            return "whether the broker has the message is not known"
    if name in _NO_TOPIC:
        return "the topic is not there: create it, or let the brokers do that (auto.create.topics.enable)"
    if name in TOO_LARGE:
        return "larger than the topic's max.message.bytes: see producer::max_message_bytes"
    return ""


def _connection_advice(words: str) -> str:
    if _NO_HOST.search(words):
        return "the broker's name is not known here: see brokers, and the broker's advertised.listeners"
    if "SSL routines" in words and (found := _about_tls(words)):  # it ends after the handshake in TLS 1.3
        return found
    if any(part in words for part in _SPEAKS_TLS):
        return "the broker seems to speak TLS where we do not, or the other way round: see tls"
    if "refused" in words:
        return "nobody listens there: see brokers, and the broker's advertised.listeners"
    return "see brokers, and whether that port of the broker asks for TLS or a password (tls, auth)"


def _about_tls(words: str) -> str:
    """What may be wrong; librdkafka does not tell a certificate of a stranger from one for another name."""
    found = tls_advice(words, _host(words))
    return f"{found}, or it is not for {_host(words)}: see brokers" if "tls::ca_file" in found else found


def _host(words: str) -> str:
    found = _BROKER.search(words)
    return found[1] if found else "the broker"
