"""Own logs: one safe line a record, with the component's fields, sampled."""

import json
import logging

import pytest

from sluiceway.errors import ConfigError
from sluiceway.telemetry import component_logger
from sluiceway.telemetry.logs import MAX_SAMPLED, ConsoleLines, JsonLines, Sampler, level_number
from sluiceway.telemetry.outputs import LogOutputs
from tests.telemetry.asking import telemetry_config


def record(message: str, *arguments: object, level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    """A record as a logger makes it."""
    made = logging.getLogger("sluiceway.test").makeRecord(
        "t", level, "/a/b/c.py", 7, message, arguments, None, extra=extra
    )
    made.created = 1_700_000_000.5
    return made


def test_a_console_line():
    """Time, level, place, message and fields, between tabs."""
    line = ConsoleLines().format(record("took %d", 3, level=logging.WARNING, queue="q"))
    assert line == '2023-11-14T22:13:20.500Z\twarn\tb/c.py:7\ttook 3\t{"queue": "q"}'


def test_a_json_line():
    """The same as an object, with the resource."""
    line = json.loads(JsonLines({"resource": {"service.name": "s"}}).format(record("took %d", 3, queue="q")))
    assert line == {
        "level": "info", "ts": "2023-11-14T22:13:20.500Z", "caller": "b/c.py:7", "msg": "took 3",
        "resource": {"service.name": "s"}, "queue": "q",
    }  # fmt: skip


@pytest.mark.parametrize("lines", [ConsoleLines(), JsonLines()])
@pytest.mark.parametrize("evil", ["\x1b[2J", "\r\n2023 forged", "\x9b31m", "\u2028", "\x00", "\ud800", "\u202e"])
def test_control_characters_are_escaped(lines, evil):
    """Nothing that came from outside moves the cursor or begins a line, in the message or in a field."""
    text = lines.format(record("got %s", evil, field=evil))
    assert all(char.isprintable() or char == "\t" for char in text)


def test_an_exception_is_one_line():
    """The error is a field, and its stack trace another unless that is switched off."""
    made = record("failed")
    try:
        raise ValueError("no\nway")
    except ValueError as error:
        made.exc_info = (ValueError, error, error.__traceback__)
    short = ConsoleLines(stacktrace=False, caller=False).format(made)
    assert short.endswith('failed\t{"error": "ValueError: no\\nway"}')
    assert "stacktrace" in ConsoleLines().format(made)
    assert "\n" not in ConsoleLines().format(made)


def test_a_component_logger_says_who_speaks(caplog):
    """The Collector's fields are there, and those of a call are added."""
    component_logger("exporter", "otlp/eu", signal="traces").warning("full", extra={"items": 3})
    fields = vars(caplog.records[0])
    assert fields["otelcol.component.id"] == "otlp/eu"
    assert fields["otelcol.component.kind"] == "exporter"
    assert fields["otelcol.signal"] == "traces"
    assert fields["items"] == 3
    assert "otelcol.pipeline.id" not in fields


def test_sampling_lets_the_first_and_every_nth_through():
    """Of equal messages in a tick two pass, then every third; the next tick begins anew."""
    now = [0.0]
    sampler = Sampler(10.0, 2, 3, lambda: now[0])
    assert [sampler.filter(record("again %d", n)) for n in range(8)] == [1, 1, 0, 0, 1, 0, 0, 1]
    assert sampler.filter(record("something else"))
    now[0] = 10.0
    assert sampler.filter(record("again %d", 9))


def test_sampling_is_asked_once_a_record():
    """Two outputs see the same lines."""
    sampler, made = Sampler(10.0, 1, 0, lambda: 0.0), record("once")
    assert sampler.filter(made)
    assert sampler.filter(made)
    assert not sampler.filter(record("once"))


def test_sampling_does_not_make_one_component_pay_for_another():
    """The same text counts by itself for each component that says it."""
    sampler = Sampler(10.0, 1, 0, lambda: 0.0)
    said = [record("failed", **{"otelcol.component.id": name}) for name in ("a", "a", "b")]
    assert [sampler.filter(made) for made in said] == [True, False, True]


def test_sampling_is_bounded():
    """Ever new messages do not grow the table."""
    sampler = Sampler(10.0, 1, 0, lambda: 0.0)
    passed = [sampler.filter(record(f"message {number}")) for number in range(MAX_SAMPLED + 5)]
    assert sum(passed) == MAX_SAMPLED + 1


@pytest.mark.parametrize(("name", "number"), [("debug", 10), ("warn", 30), ("dpanic", 50), ("fatal", 50)])
def test_levels_have_the_collectors_names(name, number):
    """Zap's levels are mapped to Python's."""
    assert level_number(name) == number


def test_outputs_write_what_is_asked_for_and_give_logging_back(tmp_path):
    """Files get lines from the level on with the initial fields, and afterwards all is as before."""
    file = tmp_path / "own.log"
    config = telemetry_config(
        f"logs: {{level: warn, encoding: json, output_paths: [{file}], initial_fields: {{zone: a}}}}"
    )
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.getLogger("sluiceway").level
    with LogOutputs(config.logs, {"service.name": "s"}):
        logging.getLogger("sluiceway.x").info("not this")
        logging.getLogger("sluiceway.x").warning("this")
        logging.getLogger("library").info("nor this")
    (line,) = map(json.loads, file.read_text().splitlines())
    assert (line["msg"], line["zone"], line["resource"]) == ("this", "a", {"service.name": "s"})
    assert (root.handlers, root.level, logging.getLogger("sluiceway").level) == before


def test_outputs_sample_unless_switched_off(tmp_path):
    """By default ten equal lines pass, with `sampling: null` all."""
    file = tmp_path / "own.log"
    for sampling, expected in (("", 10), (", sampling: null", 30)):
        config = telemetry_config(f"logs: {{output_paths: [{file}]{sampling}}}")
        file.unlink(missing_ok=True)
        with LogOutputs(config.logs):
            for _ in range(30):
                logging.getLogger("sluiceway.x").info("again")
        assert len(file.read_text().splitlines()) == expected


def test_a_console_on_standard_error(capsys):
    """Off a terminal there are no colours."""
    with LogOutputs(telemetry_config("logs: {}").logs):
        logging.getLogger("sluiceway.x").info("hello")
    assert "\tinfo\t" in capsys.readouterr().err


def test_a_log_file_that_cannot_be_opened_is_named(tmp_path):
    """The person who must act is told which file and why."""
    config = telemetry_config(f"logs: {{output_paths: [{tmp_path}/none/own.log]}}")
    with pytest.raises(ConfigError, match=r"output_paths: cannot open log file .*own.log"), LogOutputs(config.logs):
        pass


def test_settings_that_change_nothing_are_named(tmp_path):
    """What is accepted for the Collector's sake and has no effect is a warning in the log that it is about."""
    file = tmp_path / "own.log"
    config = telemetry_config(f"logs: {{output_paths: [{file}], development: true, error_output_paths: [stdout]}}")
    with LogOutputs(config.logs):
        pass
    assert "logs::development is accepted and changes nothing" in file.read_text()
    assert "logs::error_output_paths is accepted, but" in file.read_text()


HOSTILE = "\n2023-11-14T22:13:20.500Z\terror\tforged\r\x1b[2J\x00\ud800\u2028\u202e{"


@pytest.mark.parametrize("encoding", ["console", "json"])
@pytest.mark.parametrize("output", ["file", "stdout", "stderr"])
def test_a_hostile_text_is_one_line_wherever_it_goes(encoding, output, tmp_path, capfd):
    """Whatever a sender put into a message, a field or an error, it begins no line and is no reason to lose one."""
    file = tmp_path / "own.log"
    config = telemetry_config(f"logs: {{encoding: {encoding}, output_paths: [{file if output == 'file' else output}]}}")
    with LogOutputs(config.logs):
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            logging.getLogger("sluiceway.x").exception("got %s", HOSTILE, extra={"field": HOSTILE, "list": [HOSTILE]})
    written = capfd.readouterr()
    text = file.read_text() if output == "file" else getattr(written, output[3:])
    (line,) = text.splitlines()
    assert line.isascii()
    assert all(char.isprintable() or char == "\t" for char in line)
    assert written.err == (text if output == "stderr" else "")
    if encoding == "json":
        assert (json.loads(line)["msg"], json.loads(line)["field"]) == (f"got {HOSTILE}", HOSTILE)


@pytest.mark.parametrize("encoding", ["console", "json"])
def test_initial_fields_are_shown_whatever_they_are_called(encoding, tmp_path):
    """Also under names that Python's logging has for itself; but no field takes the place of the line's own."""
    file = tmp_path / "own.log"
    fields = "{name: edge, args: 1, level: none, zone: a}"
    config = telemetry_config(f"logs: {{encoding: {encoding}, output_paths: [{file}], initial_fields: {fields}}}")
    with LogOutputs(config.logs):
        logging.getLogger("sluiceway.x").warning("this", extra={"zone": "b"})
    text = file.read_text()
    shown = json.loads(text if encoding == "json" else text.split("\t")[-1])
    assert (shown["name"], shown["args"], shown["zone"]) == ("edge", 1, "b")
    assert shown["level"] == ("warn" if encoding == "json" else "none")


def test_sampling_keys(tmp_path):
    """`initial` lines pass, then every `thereafter`-th; `enabled: false` lets all pass."""
    file = tmp_path / "own.log"
    for sampling, expected in (("{tick: 1h, initial: 2, thereafter: 3}", 4), ("{enabled: false, initial: 2}", 10)):
        config = telemetry_config(f"logs: {{output_paths: [{file}], sampling: {sampling}}}")
        file.unlink(missing_ok=True)
        with LogOutputs(config.logs):
            for number in range(10):
                logging.getLogger("sluiceway.x").info("again %d", number)
        assert len(file.read_text().splitlines()) == expected


def test_several_outputs_get_the_same(tmp_path):
    """A line goes to each of `output_paths`."""
    files = [tmp_path / "a.log", tmp_path / "b.log"]
    with LogOutputs(telemetry_config(f"logs: {{output_paths: [{files[0]}, {files[1]}]}}").logs):
        logging.getLogger("sluiceway.x").info("this")
    assert files[0].read_text() == files[1].read_text() != ""
