"""A word that is near to another is suggested."""

from sluiceway.config.nearest import nearest


def test_nearest() -> None:
    """The nearest word is suggested whatever its case and its hyphens, and none when none is near."""
    assert nearest("Memory-Limiter", ["memory_limiter", "batch"]) == '; did you mean "memory_limiter"?'
    assert nearest("zzz", ["batch"]) == ""
