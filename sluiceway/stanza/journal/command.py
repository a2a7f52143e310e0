"""The call of journalctl that a configuration asks for."""

from __future__ import annotations

from sluiceway.stanza.journal.settings import JournalSettings

__all__ = ["command"]


def command(settings: JournalSettings, cursor: str = "") -> list[str]:
    """The program and its arguments; with a cursor what comes behind that entry is read."""
    call = [settings.journalctl_path or "journalctl", "--utc", "--output=json", "--follow"]
    if settings.root_path:
        call = ["chroot", settings.root_path, *call]
    if cursor:
        call += ["--no-tail", f"--after-cursor={cursor}"]
    else:
        # Without a number of lines journalctl begins with the last ten, which the reader of `end` has not asked for.
        call.append("--no-tail" if settings.start_at == "beginning" else "--lines=0")
    call += [f"--unit={unit}" for unit in settings.units]
    call += [f"--identifier={name}" for name in settings.identifiers]
    call.append(f"--priority={settings.priority}")
    for flag, value in (("grep", settings.grep), ("namespace", settings.namespace)):
        if value:
            call.append(f"--{flag}={value}")
    call += [f"--{flag}" for flag in ("dmesg", "all", "merge") if getattr(settings, flag)]
    if settings.directory:
        call.append(f"--directory={settings.directory}")
    else:
        call += [f"--file={file}" for file in settings.files]
    return call + _matches(settings)


def _matches(settings: JournalSettings) -> list[str]:
    """Fields of one match must all be equal, and one of the matches must hold."""
    words: list[str] = []
    for match in settings.matches:
        words += ["+"] if words else []
        words += [f"{key}={match[key]}" for key in sorted(match)]
    return words
