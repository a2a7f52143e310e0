"""The files that are written to: which are open, when one is emptied, put aside or opened anew."""

from __future__ import annotations

import glob
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from sluiceway.component import Context
from sluiceway.exporters.file.messages import Message
from sluiceway.exporters.file.openfile import OpenFile, Written, explain, open_file
from sluiceway.exporters.file.rotation import prune, put_aside
from sluiceway.exporters.file.settings import FileConfig

__all__ = ["Files"]

_PATIENCE: Final = 5.0
"""Seconds to wait until the exporter that is replaced in a reload has closed a file."""


class Files:
    """Writes messages to files. All calls block and are made by one thread."""

    def __init__(self, config: FileConfig, context: Context) -> None:
        self._config = config
        self._context = context
        self._open: OrderedDict[str, OpenFile] = OrderedDict()
        self._left_over: set[str] = set()
        self._closed: dict[str, threading.Event] = context.kept.setdefault("closed", {})
        self._loss: OSError | None = None
        """What the disk has reported since it last took something: what was acknowledged may be lost."""
        self._is_fresh = False
        """Whether that was since the last `sync`."""
        self.rotations = 0
        self.written = 0

    @property
    def open_files(self) -> int:
        """How many files are open."""
        return len(self._open)

    def begin(self) -> None:
        """See that writing will be possible. Raises `OSError`."""
        kept, path = self._context.kept, self._config.path
        if (key := f"left over of {path}") not in kept:
            kept[key] = self._find_left_over()
        self._left_over = kept[key]
        if not self._config.group_by.enabled and path not in self._closed:
            self.opened(path)

    def opened(self, path: str) -> OpenFile:
        """The file of that name, opened anew where somebody took away the one that was open. Raises `OSError`."""
        file = self._open.get(path)
        if file is not None and file.is_current():
            self._open.move_to_end(path)
            return file
        if file is not None:
            self._close(path)
        while len(self._open) >= self._config.group_by.max_open_files:
            self._close(next(iter(self._open)))
        opened = self._open[path] = self._opened(path)
        return opened

    def append(self, path: str, messages: Sequence[Message]) -> Written:
        """Write messages to a file, which is put aside as often as it becomes too large.

        With `fsync: always` the disk has them afterwards.
        """
        count = 0
        while count < len(messages):
            try:
                file, fitting = self._room(path, messages[count:])
                written = self._append(file, fitting)
            except OSError as error:
                return Written(count, error)
            self.written += sum(message.size for message in messages[count : count + written.count])
            count += written.count
            if written.error is not None:
                return Written(count, written.error)
        return Written(count)

    def take_back(self, path: str, size: int) -> None:
        """Have a file end where it did."""
        with suppress(OSError):
            self.opened(path).cut(size)

    def sync(self) -> OSError | None:
        """Bring to the disk what was written; what it has reported since it last took something, if anything."""
        has_taken = False
        for file in self._open.values():
            try:
                has_taken |= file.sync()
            except OSError as error:
                self._note_loss(error)
        is_fresh, self._is_fresh = self._is_fresh, False
        if has_taken and not is_fresh and self._loss is not None:
            self._loss = None
            self._context.logger.info("The disk takes what is written again")
        return self._loss

    def close(self) -> None:
        """Close all files; with `fsync` the disk has everything then."""
        for path in list(self._open):
            self._close(path)

    def _room(self, path: str, messages: Sequence[Message]) -> tuple[OpenFile, Sequence[Message]]:
        """The file to go on in, and what of the messages there is room for."""
        file = self.opened(path)
        rotation = self._config.rotation
        if rotation is None or self._config.group_by.enabled:
            return file, messages
        size = file.size
        if size and size + messages[0].size > rotation.max_bytes:
            file, size = self._rotate(path, file), 0
        for count, message in enumerate(messages):
            size += message.size
            if count and size > rotation.max_bytes:
                return file, messages[:count]
        return file, messages

    def _rotate(self, path: str, file: OpenFile) -> OpenFile:
        rotation, now = self._config.rotation, self._context.clock.time_ns()
        assert rotation is not None  # noqa: S101 - the caller looked
        put_aside(path, rotation, now)
        self.rotations += 1
        file = self.opened(path)
        try:
            prune(path, rotation, now)
        except OSError as error:
            self._context.logger.warning("Old files cannot be deleted: %s", error.strerror)
        return file

    def _append(self, file: OpenFile, messages: Sequence[Message]) -> Written:
        if self._config.fsync != "always":
            return file.append(messages)
        before = file.size
        written = file.append(messages)
        try:
            file.sync()
        except OSError as error:
            file.cut(before)  # what the disk may not have is written again
            return Written(0, error)
        return written

    def _opened(self, path: str) -> OpenFile:
        file = self._wait_and_open(path)
        try:
            if self._is_left_over(path):
                file.empty()
            else:
                self._mend(file)
        except BaseException:
            self._release(file)
            raise
        return file

    def _wait_and_open(self, path: str) -> OpenFile:
        """Open a file once an earlier exporter of the same name, which a reload has replaced, has closed it."""
        if (closed := self._closed.get(path)) is not None:
            closed.wait(_PATIENCE)
        file = open_file(path, self._config)
        self._closed[path] = threading.Event()
        return file

    def _mend(self, file: OpenFile) -> None:
        lost = file.mend()
        if lost:
            text = "The file ended with %d bytes of a message that was never whole; they were cut off"
            self._context.logger.warning(text, lost)

    def _is_left_over(self, path: str) -> bool:
        """Whether what is in a file is of an earlier run, and is to be thrown away."""
        if path not in self._left_over:
            return False
        self._left_over.discard(path)
        return True

    def _find_left_over(self) -> set[str]:
        config = self._config
        if config.append or (config.rotation is not None and not config.group_by.enabled):
            return set()
        if not config.group_by.enabled:
            return {config.path}
        before, _, after = config.path.partition("*")
        return set(glob.glob(f"{glob.escape(before)}*{glob.escape(after)}"))  # noqa: PTH207 - as texts

    def _close(self, path: str) -> None:
        file = self._open.pop(path)
        try:
            if self._config.fsync != "none":
                file.sync()
        except OSError as error:
            self._note_loss(error)
        self._release(file)

    def _release(self, file: OpenFile) -> None:
        try:
            file.close()
        except OSError as error:
            self._note_loss(error)
        self._closed.pop(file.path).set()

    def _note_loss(self, error: OSError) -> None:
        if self._loss is None or self._loss.errno != error.errno:
            text = "Not on the disk: %s; what was acknowledged lately may be lost"
            self._context.logger.error(text, explain(error, self._config.path))
        self._loss, self._is_fresh = error, True
