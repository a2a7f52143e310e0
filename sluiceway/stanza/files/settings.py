"""Which files are read, and how. Keys and defaults are those of the Collector's `file_log`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from sluiceway.config.settings import mistake
from sluiceway.config.types import Duration, Settings, Size, StringList
from sluiceway.stanza.files.encodings import check_encoding
from sluiceway.stanza.files.matching import compile_glob
from sluiceway.stanza.files.ordering import OrderingCriteria
from sluiceway.stanza.operators import Operators
from sluiceway.stanza.operators.operator import Pattern

__all__ = ["FileSettings", "Header", "Multiline"]


class _AnyUnit:
    """Sizes whose unit is written in any case, as `1kb` is."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_with_unit, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) | {"pattern": r"^[0-9]+(\.[0-9]+)? ?([KMGTkmgt][iI]?[bB]|[bB])$"}


def _with_unit(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    number = value.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    unit = value[len(number) :]
    return number + unit.upper().replace("I", "i")


AnySize = Annotated[Size, _AnyUnit()]


class Multiline(Settings):
    """Where records begin or end that are not single lines."""

    line_start_pattern: Pattern = ""
    """RE2 that matches where a record begins."""
    line_end_pattern: Pattern = ""
    """RE2 that matches where a record ends."""
    omit_pattern: bool = False
    """Whether what the pattern matched is left out of the record."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.line_start_pattern) == bool(self.line_end_pattern):
            raise ValueError("exactly one of line_start_pattern or line_end_pattern must be set")
        return self


class Header(Settings):
    """Lines in front of a file that tell about all others."""

    pattern: Pattern
    """RE2 that every line of the header matches."""
    metadata_operators: Operators = ()
    """What is made of such a line: the attributes that come out are added to every record of the file."""

    @field_validator("metadata_operators")
    @classmethod
    def _check(cls, operators: Operators) -> Operators:
        if not operators:
            raise ValueError("at least one operator is needed")
        return operators


class FileSettings(Settings):
    """Which files are read, and how."""

    include: StringList = ()
    """Files to read, as patterns: `*`, `?`, `[a-z]`, `{a,b}`, and `**` for any number of directories."""
    exclude: StringList = ()
    """Files not to read, as patterns."""
    exclude_older_than: Duration = Field(default=0.0, ge=0)
    """Files that were not written to for so long are left out; 0 leaves none out."""
    start_at: Literal["beginning", "end"] = "end"
    """Where to begin in files that are there at the first start; later ones are read from their beginning."""
    multiline: Multiline | None = None
    """Records that are not single lines."""
    force_flush_period: Duration = Field(default=0.5, ge=0)
    """How long what stands at the end of a file waits to become a whole record; 0 is forever."""
    encoding: str = "utf-8"
    """The encoding: utf-8, utf-16le, utf-16be, ascii, big5, ..., or `nop` for bytes as they are."""
    preserve_leading_whitespaces: bool = False
    """Whether blanks in front of a record are kept."""
    preserve_trailing_whitespaces: bool = False
    """Whether blanks behind a record are kept."""
    include_file_name: bool = True
    """Whether `log.file.name` is added."""
    include_file_path: bool = False
    """Whether `log.file.path` is added."""
    include_file_name_resolved: bool = False
    """Whether `log.file.name_resolved` is added: the name behind symbolic links."""
    include_file_path_resolved: bool = False
    """Whether `log.file.path_resolved` is added: the path behind symbolic links."""
    include_file_owner_name: bool = False
    """Whether `log.file.owner.name` is added."""
    include_file_owner_group_name: bool = False
    """Whether `log.file.owner.group.name` is added."""
    include_file_permissions: bool = False
    """Whether `log.file.permissions` is added: three octal digits."""
    include_file_record_number: bool = False
    """Whether `log.file.record_number` is added: which record of the file it is, from 1."""
    include_file_record_offset: bool = False
    """Whether `log.file.record_offset` is added: where in the file the record begins, in bytes."""
    poll_interval: Duration = Field(default=0.2, gt=0)
    """How often files are looked at."""
    fingerprint_size: AnySize = Field(default=1000, ge=16)
    """Bytes at the beginning of a file that tell it from others."""
    initial_buffer_size: AnySize = Field(default=16 * 1024, ge=1)
    """Has no effect."""
    max_log_size: AnySize = Field(default=1024 * 1024, ge=1)
    """The longest record, in bytes."""
    max_log_size_behavior: Literal["split", "truncate"] = "split"
    """What becomes of a longer record: several, or one that is cut."""
    max_concurrent_files: int = Field(default=1024, gt=1)
    """Files that are open at the same time; where there are more, they are opened in turn."""
    max_batches: int = Field(default=0, ge=0)
    """Has no effect: all files are looked at each time."""
    delete_after_read: bool = False
    """Whether a file is deleted once the pipeline has all of it; needs `start_at: beginning`."""
    acquire_fs_lock: bool = False
    """Whether a file is locked (`flock`) while it is read; one that somebody else has locked waits."""
    compression: Literal["", "gzip", "auto"] = ""
    """Whether files are decompressed: all of them, or those that begin as gzip does."""
    header: Header | None = None
    """Lines in front of each file that tell about all others; needs `start_at: beginning`."""
    ordering_criteria: OrderingCriteria | None = None
    """Which of the files that were found are read, by what their names tell."""
    polls_to_archive: int = Field(default=0, ge=0)
    """Has no effect: the last thousand files that are gone are remembered."""
    on_truncate: Literal["ignore", "read_whole_file", "read_new"] = "read_whole_file"
    """Where to go on in a file that became shorter: at its beginning, or at its new end. `ignore` has no effect, as it
    would lose lines."""
    file_cache_advise: bool = False
    """Has no effect."""

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, encoding: str) -> str:
        return check_encoding(encoding)

    @field_validator("include", "exclude")
    @classmethod
    def _check_patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            compile_glob(pattern)
        return patterns

    @model_validator(mode="after")
    def _check_start(self) -> Self:
        if self.start_at == "end":
            if self.delete_after_read:
                raise mistake("'delete_after_read' cannot be used with 'start_at: end'", "delete_after_read")
            if self.header is not None:
                raise mistake("'header' cannot be specified with 'start_at: end'", "header")
        return self
