"""Records on disk: what a sending queue has accepted, and dead letters, in files that only grow and are deleted whole.

A log is a folder. Its segments (`0000000000000007.segment`) hold records one after the other; the youngest is written
to, the others are never touched again, and each is deleted once all of its records were acknowledged. A file `cursor`
remembers which records of the segments that are left were. The folder belongs to one process at a time.

What is promised, and tested by `make test-durability`:

- `append` returns when the records are on the disk: written and `fdatasync`ed, many of them by one call.
- A record is only ever skipped when it was acknowledged or is damaged. If the cursor is lost, records come twice.
- A torn end, or a flipped bit, costs at most the record that it hits; the bytes go to `quarantine/`.
- What a call could not write was not written: it raises `OSError`, and the log goes on.
- After a failed write or sync a file is never written to again: the kernel may have forgotten what it could not write.

The choice of this form over SQLite and LMDB is docs/decisions/0011-a-queue-of-segments.md.
"""

from __future__ import annotations

from sluiceway.segments.files import FILES, Files, LockedError
from sluiceway.segments.frames import Record, Totals
from sluiceway.segments.keyring import Keyring, MissingKeyError
from sluiceway.segments.log import Log, Stored

__all__ = ["FILES", "Files", "Keyring", "LockedError", "Log", "MissingKeyError", "Record", "Stored", "Totals"]
