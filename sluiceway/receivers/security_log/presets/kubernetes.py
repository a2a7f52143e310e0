"""The audit log of the Kubernetes API server, one `audit.k8s.io` event as JSON in a line.

All addresses but the last in `sourceIPs` are the client's own claim (it comes from `X-Forwarded-For`), so that the last
one is the source.
"""

from __future__ import annotations

from typing import Any, Final

from sluiceway.receivers.security_log.header import Header, moment
from sluiceway.receivers.security_log.ocsf import Class, Event, Kind, Outcome, Severity, endpoint, is_address
from sluiceway.receivers.security_log.presets.jsonlines import load, take
from sluiceway.receivers.security_log.presets.preset import Preset

__all__ = ["KUBERNETES"]

_PRODUCT: Final = {"name": "Kubernetes", "vendor_name": "Kubernetes"}
_ACTIVITIES: Final = {
    "create": (1, "Create"), "get": (2, "Read"), "list": (2, "Read"), "watch": (2, "Read"), "update": (3, "Update"),
    "patch": (3, "Update"), "delete": (4, "Delete"), "deletecollection": (4, "Delete"),
}  # fmt: skip
_OTHER: Final = (99, "Other")
_SEVERITIES: Final = {Outcome.FAILURE: Severity.LOW}
_KINDS: Final = {
    (activity, outcome): Kind(
        Class.API, activity, outcome, _PRODUCT, severity=_SEVERITIES.get(outcome, Severity.INFORMATIONAL)
    )
    for activity in (*dict.fromkeys(_ACTIVITIES.values()), _OTHER)
    for outcome in Outcome
}


def parse(message: str, _header: Header) -> Event | None:
    """The event of one line."""
    if message[:1] != "{" or '"audit.k8s.io/' not in message:
        return None
    data = load(message)
    if data.get("kind") != "Event":
        return None
    verb, request_id, who = take(data, "verb"), take(data, "auditID"), _user(data.pop("user"))
    target = {key: str(value) for key, value in (data.pop("objectRef", None) or {}).items()}
    code = (data.pop("responseStatus", None) or {}).get("code") or 0
    outcome = Outcome.UNKNOWN if not code else Outcome.SUCCESS if code < 400 else Outcome.FAILURE
    kind = _KINDS[_ACTIVITIES.get(verb, _OTHER), outcome]
    addresses = [str(address) for address in data.pop("sourceIPs", None) or ()]
    source = addresses[-1] if addresses else ""
    fields: dict[str, Any] = {
        "actor": {"user": who},
        "api": _api(verb, target, code, request_id),
        "http_request": _request(data, addresses[:-1]),
        "src_endpoint": endpoint(source) if source else {"name": "unknown"},
    }
    if target:
        fields["resources"] = [_resource(target)]
    if code:
        fields["status_code"] = str(code)
    time = moment(take(data, "requestReceivedTimestamp"))
    return Event(kind, fields, user=who["name"], source=source, time=time, unmapped=_rest(data))


def _user(user: dict[str, Any]) -> dict[str, Any]:
    name, uid, groups = take(user, "username"), take(user, "uid"), user.get("groups") or []
    if not name:
        raise ValueError("an event of nobody")
    found: dict[str, Any] = {"name": name}
    if uid:
        found["uid"] = uid
    if groups:
        found["groups"] = [{"name": str(group)} for group in groups[:64]]
    return found


def _request(data: dict[str, Any], claimed: list[str]) -> dict[str, Any]:
    request: dict[str, Any] = {"url": {"url_string": take(data, "requestURI") or "/"}}
    agent = take(data, "userAgent")
    if agent:
        request["user_agent"] = agent
    forwarded = [address for address in claimed if is_address(address)]
    if forwarded:
        request["x_forwarded_for"] = forwarded
    return request


def _api(verb: str, target: dict[str, str], code: int, request_id: str) -> dict[str, Any]:
    api: dict[str, Any] = {"operation": verb}
    if target.get("apiVersion"):
        api["version"] = target["apiVersion"]
    if target.get("apiGroup"):
        api["group"] = {"name": target["apiGroup"]}
    if request_id:
        api["request"] = {"uid": request_id}
    if code:
        api["response"] = {"code": code}
    return api


def _resource(target: dict[str, str]) -> dict[str, Any]:
    resource = {"type": target.get("resource", ""), "name": target.get("name") or target.get("resource", "")}
    if target.get("subresource"):
        resource["type"] += f"/{target['subresource']}"
    for key in ("namespace", "uid"):
        if target.get(key):
            resource[key] = target[key]
    return resource


def _rest(data: dict[str, Any]) -> dict[str, Any]:
    for key in ("kind", "apiVersion"):
        data.pop(key, None)
    return data


KUBERNETES: Final = Preset("kubernetes_audit", parse, ("kube-apiserver",), whole=True)
