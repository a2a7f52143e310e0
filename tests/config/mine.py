"""A component of one's own, for `good.yaml`."""

from collections.abc import AsyncIterator

from sluiceway.otlp import Batch


class Mine:
    """Receives nothing."""

    def __init__(self, any: str = "") -> None:
        self.any = any

    async def batches(self) -> AsyncIterator[Batch]:
        """End at once."""
        return
        yield
