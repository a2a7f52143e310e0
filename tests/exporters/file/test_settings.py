"""What may be configured: the Collector's rules in the Collector's words."""

import pytest

from sluiceway.errors import ConfigError
from sluiceway.exporters.file import COMPONENT, FileConfig
from sluiceway.testing import settings


def config(keys: str) -> FileConfig:
    """Settings of these keys."""
    made = settings(COMPONENT, f"exporters: {{file: {{{keys}}}}}")
    assert isinstance(made, FileConfig)
    return made


@pytest.mark.parametrize(("keys", "text"), [
    ("", "path must be non-empty"),
    ("path: a, append: true, rotation: {}", "append and rotation enabled at the same time is not supported"),
    ("path: a, format: xml", "format type is not supported"),
    ("path: a, compression: gzip", "compression is not supported"),
    ("path: a, flush_interval: -1s", "flush_interval must be larger than zero"),
    ("path: a, group_by: {enabled: true}", "path must contain exactly one * when group_by is enabled"),
    ("path: 'a/*/*', group_by: {enabled: true}", "path must contain exactly one * when group_by is enabled"),
    ("path: '*.json', group_by: {enabled: true}", "path must not start with * when group_by is enabled"),
    ("path: 'a*', group_by: {enabled: true, resource_attribute: ''}",
     "resource_attribute must not be empty when group_by is enabled"),
    ("path: a, create_directory: true, directory_permissions: 'x'",
     "directory_permissions value must be a valid octal representation"),
    ("path: a, create_directory: true, directory_permissions: '7777'",
     "directory_permissions contain invalid bits for file access"),
    ("path: a, directory_permissions: '0755'", "directory_permissions requires create_directory to be true"),
    ("path: a, file_permissions: '9'", "file_permissions value must be a valid octal representation"),
    ("path: a, file_permissions: '7777'", "file_permissions contain invalid bits for file access"),
    ("path: a, compression: zstd, compression_params: {level: 20}",
     'unsupported parameters {Level:20} for compression type "zstd": the highest is 19'),
    ("path: a, encoding: otlp_encoding", "encoding extensions are not available here: use `format`"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(keys: str, text: str) -> None:
    """With the Collector's text where it has one."""
    with pytest.raises(ConfigError) as caught:
        config(keys)
    assert text in str(caught.value)


def test_what_is_left_out_is_as_in_the_collector() -> None:
    """Defaults, and sections that are off until their key is there."""
    plain = config("path: a")
    assert (plain.format, plain.append, plain.flush_interval, plain.fsync) == ("json", False, 1.0, "none")
    assert plain.rotation is plain.sending_queue is plain.retry_on_failure is None
    assert not plain.group_by.enabled
    assert plain.group_by.resource_attribute == "fileexporter.path_segment"
    assert plain.group_by.max_open_files == 100
    rotated = config("path: a, rotation: ").rotation
    assert rotated is not None
    assert (rotated.max_megabytes, rotated.max_days, rotated.max_backups, rotated.localtime) == (100, 0, 100, False)
    assert config("path: a, flush_interval: 0s").flush_interval == 1.0
