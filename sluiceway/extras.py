"""Libraries that only some need: the extras of the package."""

from __future__ import annotations

from importlib.util import find_spec

from sluiceway.errors import ConfigError

__all__ = ["require"]


def require(what: str, extra: str, *modules: str) -> None:
    """Raise `ConfigError` where `what` cannot be, as a module that the extra brings is not installed.

    Components call it when they are made, so that `sluiceway validate` tells as well.
    """
    missing = [module for module in modules if not _is_there(module)]
    if missing:
        raise ConfigError(f"{what} needs {', '.join(missing)}: pip install 'sluiceway[{extra}]'")


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it would be a part of
        return False
