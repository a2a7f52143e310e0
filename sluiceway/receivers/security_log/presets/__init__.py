"""The presets: what is known about the lines of one program each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias, get_args

from sluiceway.receivers.security_log.presets.access import APACHE, NGINX
from sluiceway.receivers.security_log.presets.auditd import AUDITD
from sluiceway.receivers.security_log.presets.kubernetes import KUBERNETES
from sluiceway.receivers.security_log.presets.pam import pam
from sluiceway.receivers.security_log.presets.postgres import PGAUDIT, POSTGRES
from sluiceway.receivers.security_log.presets.preset import Preset
from sluiceway.receivers.security_log.presets.sshd import SSHD
from sluiceway.receivers.security_log.presets.sudo import SUDO

__all__ = ["NAMES", "Name", "Preset", "choose"]

Name: TypeAlias = Literal["sshd", "sudo", "pam", "auditd", "pgaudit", "postgres", "nginx", "apache", "kubernetes_audit"]
NAMES: tuple[str, ...] = get_args(Name)

_PRESETS = {preset.name: preset for preset in (SSHD, SUDO, AUDITD, PGAUDIT, POSTGRES, NGINX, APACHE, KUBERNETES)}


def choose(names: Iterable[str]) -> tuple[Preset, ...]:
    """The presets of these names, in this order."""
    chosen = tuple(names)
    told = frozenset(program for name in chosen if name in ("sshd", "sudo") for program in _PRESETS[name].programs)
    return tuple(pam(told) if name == "pam" else _PRESETS[name] for name in chosen)
