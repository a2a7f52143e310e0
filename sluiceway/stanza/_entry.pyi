from typing import Any

class Entry:
    body: Any
    observed: int
    attributes: dict[str, Any]
    resource: dict[str, Any]
    time: int
    severity: int
    severity_text: str
    event_name: str
    scope: str
    trace_id: bytes
    span_id: bytes
    flags: int
    mark: tuple[str, int, int] | None
    def __init__(self, body: Any, observed: int, attributes: dict[str, Any], resource: dict[str, Any]) -> None: ...

def entries(bodies: list[Any], observed: int, attributes: dict[str, Any], resource: dict[str, Any]) -> list[Entry]: ...
