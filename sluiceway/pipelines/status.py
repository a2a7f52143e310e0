"""What is known of the health of every component."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sluiceway.component import Clock, Status, StatusEntry

__all__ = ["StatusBoard"]

_SEVERITY = {status: rank for rank, status in enumerate(
    (Status.STOPPED, Status.OK, Status.STARTING, Status.STOPPING, Status.RECOVERABLE_ERROR, Status.PERMANENT_ERROR,
     Status.FATAL_ERROR)
)}  # fmt: skip


class StatusBoard:
    """The last status of every instance, shown by component: of several instances the worst counts."""

    def __init__(self, clock: Clock, on_fatal: Callable[[str], None]) -> None:
        self._clock = clock
        self._on_fatal = on_fatal
        self._entries: dict[str, dict[str, StatusEntry]] = {}
        self._voices: dict[tuple[str, str], list[object]] = {}

    def begin(self, component: str, place: str, voice: object) -> None:
        """Hear no other than this instance until it ends: it takes the place of one that is still to stop."""
        self._voices.setdefault((component, place), []).append(voice)
        self.record(component, place, Status.STARTING)

    def end(self, component: str, place: str, voice: object) -> None:
        """The instance has stopped, or did not start."""
        voices = self._voices.get((component, place), [])
        if voice in voices:
            voices.remove(voice)

    def record(self, component: str, place: str, status: Status, message: str = "", voice: object = None) -> None:
        """Note the status of one instance, unless another has taken its place. A repeated status keeps its `since`."""
        voices = self._voices.get((component, place))
        if voice is not None and voices and voices[-1] is not voice:
            return
        instances = self._entries.setdefault(component, {})
        before = instances.get(place)
        since = before.since if before is not None and before.status is status else self._clock.now()
        instances[place] = StatusEntry(status, message, since)
        if status is Status.FATAL_ERROR:
            self._on_fatal(f"{component}: {message}")

    def started(self, component: str, place: str) -> None:
        """Note that an instance has started; what it reported of itself meanwhile stands."""
        if self._entries[component][place].status is Status.STARTING:
            self.record(component, place, Status.OK)

    def forget(self, component: str, place: str) -> None:
        """Take away an instance that a reload has removed."""
        instances = self._entries.get(component, {})
        instances.pop(place, None)
        if not instances:
            self._entries.pop(component, None)

    def view(self) -> Mapping[str, StatusEntry]:
        """The state of every component, by `<kind>:<id>`."""
        return {
            component: max(instances.values(), key=lambda entry: _SEVERITY[entry.status])
            for component, instances in self._entries.items()
        }
