"""The audit log of the Kubernetes API server, one `audit.k8s.io` event as JSON in a line.

All addresses but the last in `sourceIPs` are the client's own claim (it comes from `X-Forwarded-For`), so that the last
one is the source.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from sluiceway.receivers.security_log.header import Header, moment
from sluiceway.receivers.security_log.ocsf import Class, Event, Kind, Outcome, Severity, endpoint
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
    data = orjson.loads(message)
    if data.get("kind") != "Event":
        return None
    verb, user, target = data["verb"], data["user"]["username"], data.pop("objectRef", None) or {}
    code = (data.pop("responseStatus", None) or {}).get("code", 0)
    outcome = Outcome.UNKNOWN if not code else Outcome.SUCCESS if code < 400 else Outcome.FAILURE
    kind = _KINDS[_ACTIVITIES.get(verb, _OTHER), outcome]
    addresses = [str(address) for address in data.pop("sourceIPs", None) or ()]
    source = addresses[-1] if addresses else ""
    who = _user(data.pop("user"))
    request: dict[str, Any] = {"url": {"url_string": data.pop("requestURI", "") or "/"}}
    if "userAgent" in data:
        request["user_agent"] = data.pop("userAgent")
    if addresses[:-1]:
        request["x_forwarded_for"] = addresses[:-1]
    fields: dict[str, Any] = {
        "actor": {"user": who},
        "api": _api(data.pop("verb"), target, code, data.get("auditID", "")),
        "http_request": request,
        "src_endpoint": endpoint(source) if source else {"name": "unknown"},
    }
    if target:
        fields["resources"] = [_resource(target)]
    if code:
        fields["status_code"] = str(code)
    time = moment(data.pop("requestReceivedTimestamp", "") or data.get("stageTimestamp", ""))
    return Event(kind, fields, user=user, source=source, time=time, unmapped=_rest(data))


def _user(user: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": user["username"]}
    if user.get("uid"):
        found["uid"] = user["uid"]
    if user.get("groups"):
        found["groups"] = [{"name": name} for name in user["groups"][:64]]
    return found


def _api(verb: str, target: dict[str, Any], code: int, audit_id: str) -> dict[str, Any]:
    api: dict[str, Any] = {"operation": verb}
    if target.get("apiVersion"):
        api["version"] = target["apiVersion"]
    if target.get("apiGroup"):
        api["group"] = {"name": target["apiGroup"]}
    if audit_id:
        api["request"] = {"uid": audit_id}
    if code:
        api["response"] = {"code": code}
    return api


def _resource(target: dict[str, Any]) -> dict[str, Any]:
    resource = {"type": target.get("resource", ""), "name": target.get("name") or target.get("resource", "")}
    if target.get("subresource"):
        resource["type"] += f"/{target['subresource']}"
    for key in ("namespace", "uid"):
        if target.get(key):
            resource[key] = target[key]
    return resource


def _rest(data: dict[str, Any]) -> dict[str, Any]:
    for key in ("kind", "apiVersion", "auditID"):
        data.pop(key, None)
    return data


KUBERNETES: Final = Preset("kubernetes_audit", parse, ("kube-apiserver",), whole=True)
