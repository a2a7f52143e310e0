"""A log, its rotation, and reading that is stopped and killed at will, without tasks and real time."""

from __future__ import annotations

from pathlib import Path

from sluiceway.component import Context, Kind
from sluiceway.config.decode import decode
from sluiceway.config.parse import parse
from sluiceway.stanza.files.reader import Piece, Reader, TruncatedError
from sluiceway.stanza.files.settings import FileSettings
from sluiceway.stanza.files.tracking import Tracking

__all__ = ["Reading", "file_settings", "rotate_by_copy", "rotate_by_name"]


def file_settings(yaml: str) -> FileSettings:
    """Settings from YAML text."""
    return decode(FileSettings, parse(yaml, "test.yaml"))


class Reading:
    """What a receiver does with files, step by step. `store` is what survives a kill, `bodies` what arrived."""

    def __init__(self, yaml: str) -> None:
        self.settings = file_settings(yaml)
        self.store: dict[str, bytes] = {}
        self.bodies: list[object] = []
        self.entries: list[object] = []
        self.now = 1000.0
        self.start()

    def start(self) -> None:
        """Begin with what is stored."""
        self.tracking = Tracking(self.settings)
        self.tracking.load(self.store, self.now)
        self.reader = Reader(self.settings, Context("x", Kind.RECEIVER), marked=False)
        self.look()

    def stop(self) -> None:
        """Forget all but what is stored."""
        self.tracking.registry.close()

    def look(self) -> None:
        """Look for files."""
        self.tracking.look(self.now, self.now)
        self.save()

    def poll(self, seconds: float = 0.2) -> None:
        """Look for files after a while, and take all there is."""
        self.now += seconds
        self.look()
        while pieces := self.read():
            self.take(pieces)

    def read(self) -> list[Piece]:
        """A block of each file that has one."""
        pieces = []
        for tracked in [tracked for tracked in self.tracking.registry.files.values() if tracked.has_more]:
            try:
                piece = self.reader.read(tracked, self.tracking.registry.opened(tracked), int(self.now * 1e9))
            except TruncatedError:
                self.tracking.registry.truncate(tracked)
            except OSError:
                continue
            else:
                tracked.flush = False
                pieces += [piece] if piece else []
        return pieces

    def deliver(self, pieces: list[Piece]) -> None:
        """The pipeline has them."""
        self.entries += [entry for piece in pieces for entry in piece.entries]
        self.bodies += [entry.body for piece in pieces for entry in piece.entries]

    def take(self, pieces: list[Piece]) -> None:
        """The pipeline has them, and that is noted."""
        self.deliver(pieces)
        for piece in pieces:
            self.tracking.registry.move(piece.tracked, piece.position)
        self.save()

    def save(self) -> None:
        """Store what changed."""
        for name, position in self.tracking.registry.changed.items():
            if position is None:
                self.store.pop(name, None)
            else:
                self.store[name] = position.dump()
        self.tracking.registry.changed = {}
        self.store.setdefault("started", b"1")


def rotate_by_name(log: Path) -> None:
    """As logrotate does with `create`."""
    _make_way(log)
    if log.exists():
        log.rename(f"{log}.1")
    log.touch()


def rotate_by_copy(log: Path) -> None:
    """As logrotate does with `copytruncate`."""
    _make_way(log)
    Path(f"{log}.1").write_bytes(log.read_bytes())
    with log.open("r+b") as file:
        file.truncate(0)


def _make_way(log: Path) -> None:
    rotated = sorted(log.parent.glob(f"{log.name}.*"), key=lambda path: -int(path.suffix[1:]))
    for path in rotated:
        path.rename(path.with_suffix(f".{int(path.suffix[1:]) + 1}"))
