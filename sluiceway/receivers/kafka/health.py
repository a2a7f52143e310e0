"""How the receiver is, as its status says."""

from __future__ import annotations

from sluiceway.component import Context, Status
from sluiceway.parts import Parts
from sluiceway.receivers.kafka.claim import Claim

__all__ = ["Health"]


class Health:
    """Sums up what is wrong with the cluster, with the group or its topics, and with what the pipeline does."""

    def __init__(self, context: Context) -> None:
        parts = Parts(context)
        self._logger = context.logger
        self._cluster = parts.part()
        self._group = parts.part()
        self._pipeline = parts.part()
        self._troubled: set[str] = set()
        self._waiting: dict[Claim, tuple[Status, str]] = {}

    def cluster(self, trouble: str) -> None:
        """The brokers cannot be reached or do not let us in; empty where they do."""
        self._report(self._cluster, trouble, "Kafka answers")

    def group(self, trouble: str) -> None:
        """The group does not take us, or topics are missing or forbidden; empty where nothing is wrong."""
        self._report(self._group, trouble, "All topics are read")

    def refused(self, claim: Claim, why: str, status: Status = Status.RECOVERABLE_ERROR) -> None:
        """The pipeline does not take a partition's messages."""
        self._waiting[claim] = (status, why)
        self._tell()

    def taken(self, claim: Claim) -> None:
        """The pipeline takes a partition's messages, or they are no longer ours."""
        if self._waiting.pop(claim, None) is not None:
            self._tell()

    def _report(self, part: Context, trouble: str, well: str) -> None:
        part.report(Status.RECOVERABLE_ERROR if trouble else Status.OK, trouble)
        if trouble and well not in self._troubled:  # the words may change every second: the status has the newest
            self._troubled.add(well)
            self._logger.warning("%s", trouble)
        elif not trouble and well in self._troubled:
            self._troubled.remove(well)
            self._logger.info(well)

    def _tell(self) -> None:
        if not self._waiting:
            self._pipeline.report(Status.OK)
            return
        claim, (status, why) = max(self._waiting.items(), key=lambda entry: entry[1][0] is Status.PERMANENT_ERROR)
        others = f" (and {len(self._waiting) - 1} more)" if len(self._waiting) > 1 else ""
        self._pipeline.report(status, f"partition {claim}{others} waits: {why}")
