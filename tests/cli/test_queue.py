"""`sluiceway queue`: what is on disk is listed, shown, replayed and purged, by whoever may read the folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sluiceway.cli.main import main
from sluiceway.segments import Files, Keyring, Log, Record

KEY = bytes(range(32))
NAME = "exporter_otlp_http_traces.dead"


def letters(directory: Path, *names: str, keyring: Keyring | None = None, store: str = "dead") -> Log:
    """A store with a request of one span for each name, as a collector leaves it; still open."""
    log = Log(directory / f"exporter_otlp_http_traces.{store}", keyring=keyring)
    log.open()
    for name in names:
        message = TracesData()
        message.resource_spans.add().scope_spans.add().spans.add(name=name)
        notes = {"reason": "permanent_error", "error": "no", "headers": {"tenant": ["acme"]}}
        log.append([Record(message.SerializeToString(), 1, (("traces", 1),), 1_700_000_000, notes)])
    return log


def test_queues_and_dead_letters_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With how much is in them, and whether a collector has them."""
    letters(tmp_path, "a", "b").close()
    queue = letters(tmp_path, "c", store="queue")
    assert main(["queue", "list", "--directory", str(tmp_path)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in out[1:]] == [
        ["exporter_otlp_http_traces.dead", "2", "2"], ["exporter_otlp_http_traces.queue", "1", "1"],
    ]  # fmt: skip
    assert "2023-11-14T22:13:20Z" in out[1]
    assert out[2].endswith("in use")
    queue.close()


def test_records_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is known of each, and with `--payload` the telemetry itself."""
    letters(tmp_path, "a", "b").close()
    assert main(["queue", "show", "exporter_otlp_http_traces.dead", "--directory", str(tmp_path), "--limit", "1"]) == 0
    captured = capsys.readouterr()
    (told,) = map(json.loads, captured.out.splitlines())
    assert (told["reason"], told["error"], told["items"], told["pipelines"]) == (
        "permanent_error",
        "no",
        1,
        {"traces": 1},
    )
    assert "and more" in captured.err
    assert main(["queue", "show", "--payload", "--directory", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(x)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"] for x in lines] == ["a", "b"]


def test_dead_letters_are_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They go back into the queue, also of a collector that runs, without what was said of them."""
    letters(tmp_path, "a", "b").close()
    queue = letters(tmp_path, "c", store="queue")
    assert main(["queue", "replay", "--directory", str(tmp_path)]) == 0
    assert "2 items of 2 records go back" in capsys.readouterr().out
    assert queue.adopt().items == 2
    stored = queue.read(10**7)
    assert [s.record.payload[-1:] for s in stored] == [b"c", b"a", b"b"]
    assert stored[1].record.notes == {"headers": {"tenant": ["acme"]}}
    queue.close()
    main(["queue", "list", "--directory", str(tmp_path)])
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == ["exporter_otlp_http_traces.dead", "0", "0"]


def test_what_is_purged_is_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a question, unless told otherwise."""
    letters(tmp_path, "a").close()
    monkeypatch.setattr("builtins.input", lambda _: "n")
    assert main(["queue", "purge", NAME, "--directory", str(tmp_path)]) == 1
    assert "--yes deletes without asking" in capsys.readouterr().err
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    assert main(["queue", "purge", NAME, "--directory", str(tmp_path)]) == 0
    assert list(tmp_path.rglob("*.segment"))
    assert main(["queue", "purge", NAME, "--yes", "--directory", str(tmp_path)]) == 0
    assert "1 items deleted" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.segment"))


@pytest.mark.parametrize("action", ["replay", "purge"])
def test_what_a_collector_works_with_is_not_touched(
    tmp_path: Path, action: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said that it does, when it does not let go."""
    monkeypatch.setattr("sluiceway.segments.shelf.PATIENCE", 0.1)
    log = letters(tmp_path, "a")
    assert main(["queue", action, NAME, "--yes", "--directory", str(tmp_path)]) == 1
    assert "is in use by another process; stop it first" in capsys.readouterr().err
    log.close()
    assert len(list(tmp_path.rglob("*.segment"))) == 1


def test_a_store_that_cannot_be_replayed_is_told_and_the_others_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each by itself: what was replayed is not said to be unchanged."""
    for name in ("exporter_a_traces", "exporter_b_traces", "exporter_c_traces"):
        letters(tmp_path, "a").close()
        (tmp_path / NAME).rename(tmp_path / f"{name}.dead")
    (tmp_path / "exporter_b_traces.queue").write_text("no folder")
    assert main(["queue", "replay", "--directory", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert [line.split(":")[0] for line in captured.out.splitlines()] == [
        "exporter_a_traces.dead", "exporter_c_traces.dead",
    ]  # fmt: skip
    assert captured.err == f"exporter_b_traces.dead: {tmp_path}/exporter_b_traces.queue: File exists\n"
    assert len(list((tmp_path / "exporter_b_traces.dead").glob("*.segment"))) == 1


def test_what_was_replayed_and_could_not_be_deleted_is_said_to_be_there_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads that nothing was changed would replay it once more."""
    letters(tmp_path, "a").close()

    def delete(self: Files, path: Path) -> None:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr(Files, "delete", delete)
    assert main(["queue", "replay", NAME, "--directory", str(tmp_path)]) == 1
    assert "another replay would send it twice" in capsys.readouterr().err
    assert len(list(tmp_path.rglob("*.segment"))) == 2


def test_what_is_put_aside_stays_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also when a later file of the same number is put there."""
    for name in "ab":
        letters(tmp_path, name).close()
        (path,) = (tmp_path / NAME).glob("*.segment")
        path.write_bytes(path.read_bytes().replace(b"acme", b"emca"))
        assert main(["queue", "purge", NAME, "--yes", "--directory", str(tmp_path)]) == 1
        assert f"{path.name} is damaged, and now in quarantine" in capsys.readouterr().err
    assert len(list((tmp_path / NAME / "quarantine").iterdir())) == 2


def test_the_payload_of_a_folder_without_a_signal_in_its_name_is_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody renamed it."""
    letters(tmp_path, "a", store="queue").close()
    (tmp_path / "exporter_otlp_http_traces.queue").rename(tmp_path / "mine.queue")
    assert main(["queue", "show", "mine.queue", "--payload", "--directory", str(tmp_path)]) == 1
    assert "mine.queue: its name does not end with a signal" in capsys.readouterr().err
    assert main(["queue", "show", "mine.queue", "--directory", str(tmp_path)]) == 0


def test_encrypted_queues_need_their_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the configuration, or from variables and files."""
    letters(tmp_path, "a", keyring=Keyring({"k": KEY})).close()
    assert main(["queue", "list", "--directory", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert "1 files cannot be read" in captured.out
    assert 'it is encrypted with the key "k", and there are no keys' in captured.err
    monkeypatch.setenv("K", KEY.hex())
    assert main(["queue", "show", "--directory", str(tmp_path), "--key", "k=env:K"]) == 0
    assert '"items":1' in capsys.readouterr().out
    config = tmp_path / "collector.yaml"
    config.write_text(f"""
extensions: {{file_storage: {{directory: '{tmp_path}', encryption: {{keys: [{{id: k, key: '{KEY.hex()}'}}]}}}}}}
receivers: {{otlp: {{protocols: {{http: }}}}}}
exporters: {{debug: }}
service: {{extensions: [file_storage], pipelines: {{traces: {{receivers: [otlp], exporters: [debug]}}}}}}
""")
    assert main(["queue", "show", "--payload", "--config", str(config)]) == 0
    assert '"name":"a"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["list", "--directory", "/nowhere"], "there is no directory /nowhere"),
        (["show", "x"], 'there is no "x"; there are: none'),
        (["purge"], "say which are to be deleted"),
        (["replay"], "only dead letters (.dead) can be replayed, and there are none"),
    ],
)
def test_mistakes_are_said(tmp_path: Path, arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With what there is."""
    where = [] if "--directory" in arguments else ["--directory", str(tmp_path)]
    assert main(["queue", *arguments, *where]) == 1
    assert text in capsys.readouterr().err


def test_a_queue_whose_exporter_is_gone_is_marked_and_goes_to_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The list says that nobody sends it, and what can be done."""
    letters(tmp_path, "a", store="queue").close()
    config = tmp_path / "collector.yaml"
    config.write_text(f"""
extensions: {{file_storage: {{directory: '{tmp_path}'}}}}
receivers: {{otlp: {{protocols: {{http: }}}}}}
exporters: {{otlp_http/new: {{endpoint: 'http://127.0.0.1:1', sending_queue: {{storage: file_storage}}}}}}
service: {{extensions: [file_storage], pipelines: {{traces: {{receivers: [otlp], exporters: [otlp_http/new]}}}}}}
""")
    new = Log(tmp_path / "exporter_otlp_http~new_traces.queue")
    new.open()
    assert main(["queue", "list", "--config", str(config)]) == 0
    captured = capsys.readouterr()
    assert [line.endswith("no exporter has it") for line in captured.out.splitlines()] == [False, True, False]
    assert "`queue replay NAME --to OTHER`" in captured.err
    old, to = "exporter_otlp_http_traces.queue", new.folder.name
    assert main(["queue", "replay", old, "--to", to, "--config", str(config)]) == 0
    assert "1 items of 1 records go to exporter_otlp_http~new_traces.queue" in capsys.readouterr().out
    assert new.adopt().items == 1
    new.close()
    assert not list((tmp_path / old).glob("*.segment"))
    assert main(["queue", "replay", to, "--to", to, "--config", str(config)]) == 1
    assert "that must be another queue of traces" in capsys.readouterr().err
    assert main(["queue", "replay", old, "--config", str(config)]) == 1
    assert "--to NAME moves it to another queue" in capsys.readouterr().err


def test_queues_of_one_name_in_two_directories_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after a change of the exporter's storage: nobody purges the wrong one."""
    for place in ("a", "b"):
        letters(tmp_path / place, place, store="queue").close()
    config = tmp_path / "collector.yaml"
    config.write_text(f"""
extensions: {{file_storage: {{directory: '{tmp_path}/a'}}, file_storage/b: {{directory: '{tmp_path}/b'}}}}
receivers: {{otlp: {{protocols: {{http: }}}}}}
exporters: {{otlp_http: {{endpoint: 'http://127.0.0.1:1', sending_queue: {{storage: file_storage/b}}}}}}
service:
  extensions: [file_storage, file_storage/b]
  pipelines: {{traces: {{receivers: [otlp], exporters: [otlp_http]}}}}
""")
    old = str(tmp_path / "a/exporter_otlp_http_traces.queue")
    assert main(["queue", "list", "--config", str(config)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (lines[1].startswith(old), lines[1].endswith("no exporter has it")) == (True, True)
    assert main(["queue", "purge", "exporter_otlp_http_traces.queue", "--yes", "--config", str(config)]) == 1
    assert main(["queue", "purge", old, "--yes", "--config", str(config)]) == 0
    assert [path.parent.parent.name for path in tmp_path.rglob("*.segment")] == ["b"]
