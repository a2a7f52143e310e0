"""Makes security events of log lines: sshd, sudo, PAM, auditd, PostgreSQL and pgaudit, nginx, Apache, Kubernetes.

Each line becomes at most one event of the Open Cybersecurity Schema Framework (OCSF 1.8): class, activity, outcome,
severity, user, source. In a logs pipeline the event is a log record: its body is the event as a map, its name
`ocsf.<class>`, and `user.name`, `source.address` and `process.pid` are attributes. What has no field in OCSF stands
under `unmapped`. In a metrics pipeline events are counted, in `security.events` and `security.auth.failures`. One
receiver may stand in both.

Lines are an attacker's. What a sender chooses is told apart from what the program itself wrote by its place, so that a
user named `root from 1.2.3.4` does not change the address; where a line can be read in two ways nothing is claimed.
All is read in one pass, without patterns that could take long. Control characters come out as escapes, as JSON writes
them. A line that cannot be read costs itself. Nothing proves that a line is the program's own: who can write into the
log can lie.

Files, the journal (as by `journald`) and the network (as by `syslog`) may be read at once. While the pipeline refuses,
files and the journal are not read on, and what was refused is sent again. Where reading stands is kept in memory: after
a restart it begins anew at `start_at`.

```yaml
receivers:
  security_log:
    include: [/var/log/auth.log]
    presets: [sshd, sudo, pam]
```

PAM and sshd tell of the same attempt in lines of their own, and so do auditd and sshd: such a second line is an event
of the activity `Preauth`, which `security.auth.failures` does not count.
"""

from __future__ import annotations

from sluiceway.component import Component, Kind, Stability
from sluiceway.otlp import Signal
from sluiceway.receivers.security_log.receiver import SecurityLogReceiver
from sluiceway.receivers.security_log.settings import SecurityLogConfig

__all__ = ["COMPONENT", "SecurityLogConfig", "SecurityLogReceiver"]

COMPONENT = Component(
    type="security_log",
    kind=Kind.RECEIVER,
    config=SecurityLogConfig,
    create=SecurityLogReceiver,
    signals=frozenset({Signal.LOGS, Signal.METRICS}),
    stability=Stability.BETA,
)
