"""Files as they grow: which they are, how they are told apart when they are rotated, and what is read of them.

`Files` looks for files, reads them in turn, and hands on what it read; a file's position moves once the pipeline has
answered.
"""

from sluiceway.stanza.files.follow import Files
from sluiceway.stanza.files.settings import FileSettings

__all__ = ["FileSettings", "Files"]
