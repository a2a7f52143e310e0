"""How good predicted quantities are. Each figure is what scikit-learn's function gives, left out where undefined."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["figures"]


def figures(truth: npt.NDArray[np.float64], predicted: npt.NDArray[np.float64]) -> Iterator[tuple[str, float]]:
    """`mae`, `rmse`, `mape` where no truth is 0, and `r2` where truths differ."""
    if len(truth) == 0:
        return
    with np.errstate(all="ignore"):  # quantities may be so large that squares of them are not numbers
        errors = predicted - truth
        squares = float((errors**2).sum())
        spread = float(((truth - truth.mean()) ** 2).sum())
        yield "mae", float(np.abs(errors).mean())
        yield "rmse", float(np.sqrt(squares / len(truth)))
        if np.abs(truth).min() > np.finfo(np.float64).eps:
            yield "mape", float(np.abs(errors / truth).mean())
        if spread > 0:
            yield "r2", 1 - squares / spread
