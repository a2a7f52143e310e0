"""Each operator, built from YAML."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from sluiceway.component import Reason
from sluiceway.stanza import Entry
from tests.growth import grows_evenly
from tests.stanza.programs import NOW, Holder, one, program, run

PARSED = [
    (r'[{type: regex_parser, regex: "^(?P<a>[^ ]+) (?P<b>x)?"}]', "één ", {"a": "één", "b": ""}),
    (r'[{type: regex_parser, regex: "(?P<a>[^ ]+) (?P<b>\\d+)"}]', "é 12", {"a": "é", "b": "12"}),
    ("[{type: json_parser}]", '{"a": 1, "b": [2], "a": 3}', {"a": 3.0, "b": [2.0]}),
    ("[{type: json_parser, parse_ints: true}]", '{"a": 1, "b": 99999999999999999999}', {"a": 1, "b": 1e20}),
    ("[{type: json_array_parser, header: 'a,b', parse_to: attributes}]", '[1, "x"]', {"a": 1, "b": "x"}),
    ("[{type: csv_parser, header: 'a,b'}]", '1,"x,y"', {"a": "1", "b": "x,y"}),
    ("[{type: key_value_parser}]", "a=1 b='x y'", {"a": "1", "b": "x y"}),
    ("[{type: key_value_parser, delimiter: ':', pair_delimiter: '!'}]", "a:1!b:2", {"a": "1", "b": "2"}),
    ("[{type: uri_parser}]", "https://u@h:8/p?q=1&q=2",
     {"scheme": "https", "user": "u", "host": "h", "port": "8", "path": "/p", "query": {"q": ["1", "2"]}}),
    ("[{type: syslog_parser, protocol: rfc5424}]", "<34>1 - h app - ID - hi",
     {"version": 1, "hostname": "h", "appname": "app", "msg_id": "ID", "message": "hi", "priority": 34, "facility": 4,
      "facility_text": "auth"}),
    ("[{type: add, field: attributes.a, value: 'EXPR(body)-x'}]", "b", {"a": "b-x"}),
    ("[{type: add, field: attributes.a, value: EXPR(len(body))}]", "b", {"a": 1}),
    ("[{type: copy, from: body, to: 'attributes[\"k.ey\"]'}]", "b", {"k.ey": "b"}),
    ("[{type: move, from: body.x, to: attributes.y}]", {"x": 1}, {"y": 1}),
    (("[{type: regex_replace, field: body, regex: '(\\d+)', replace_with: '<$1>'}, "
     "{type: move, from: body, to: attributes.b}]"), "a1b22", {"b": "a<1>b<22>"}),
    ("[{type: unquote, field: body}, {type: move, from: body, to: attributes.b}]", r'"a\n"', {"b": "a\n"}),
    ("[{type: assign_keys, field: body, keys: [a, b]}, {type: move, from: body, to: attributes}]", [1, 2],
     {"a": 1, "b": 2}),
    ("[{type: flatten, field: body.x}, {type: move, from: body, to: attributes}]", {"x": {"y": 1}, "z": 2},
     {"y": 1, "z": 2}),
    ("[{type: retain, fields: [body.x]}, {type: move, from: body, to: attributes}]", {"x": 1, "z": 2}, {"x": 1}),
    ("[{type: remove, field: body.x}, {type: move, from: body, to: attributes}]", {"x": 1, "z": 2}, {"z": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "body", "attributes"), PARSED, ids=lambda value: str(value)[:40])
def test_what_an_operator_makes_of_an_entry(text: str, body: Any, attributes: dict[str, Any]) -> None:
    """Each operator does to a small entry what its page says."""
    assert one(text, body).attributes == attributes


BAD = [
    ("[{type: regex_parse, regex: x}]", 'did you mean "regex_parser"?', ("operators", 0, "type")),
    ("[{type: regex_parser, regex: x}]", "no named capture groups", ("operators", 0, "regex")),
    ("[{type: regex_parser, regex: '('}]", "invalid pattern", ("operators", 0, "regex")),
    ("[{type: regex_parser, regex: '(?P<a>x)', parse_form: body}]", "Extra inputs",
     ("operators", 0, "parse_form")),
    ("[{type: noop, output: nop}, {type: noop, id: noop2}]", "which is not there; did you mean",
     ("operators", 0, "output")),
    ("[{type: noop, id: a}, {type: move, id: a, from: body.x, to: body.y}]", "already exists", ("operators", 1)),
    ("[{type: noop, id: a, output: b}, {type: noop, id: b, output: a}]", "in a circle", ("operators", 0)),
    ("[{type: noop, output: noop}]", "sends to itself", ("operators", 0, "output")),
    ("[{type: filter, expr: 'f(body)'}]", "unknown function f at column 1", ("operators", 0, "expr")),
    ("[{type: time_parser, parse_from: body, layout: '%Q'}]", "unsupported directive %Q", ("operators", 0, "layout")),
    ("[{type: add, field: bdy, value: 1}]", "must begin with", ("operators", 0, "field")),
    ("[{type: severity_parser, parse_from: body, mapping: {eror: 1}}]", "unrecognized severity",
     ("operators", 0, "mapping", "eror")),
    ("[{type: recombine, combine_field: body}]", "must be set", ("operators", 0)),
]  # fmt: skip


def test_operators_without_ids_are_numbered() -> None:
    """As in the Collector: `noop`, `noop1` ..., without the numbers that are ids of others; outputs may name them."""
    text = "[{type: noop}, {type: noop, output: noop3}, {type: noop, id: noop2}, {type: noop}]"
    operators = Holder.model_validate({"operators": yaml.safe_load(text)}).operators
    assert [operator.name for operator in operators] == ["noop", "noop1", "noop2", "noop3"]


@pytest.mark.parametrize(("text", "message", "place"), BAD, ids=lambda value: str(value)[:40])
def test_mistakes_are_found_at_load(text: str, message: str, place: tuple[Any, ...]) -> None:
    """A wrong configuration is refused when it is loaded, at the key that is wrong."""
    with pytest.raises(ValidationError) as caught:
        program(text)
    (error,) = caught.value.errors()
    assert message in error["msg"]
    assert error["loc"] == place


@pytest.mark.parametrize(("mode", "kept", "dropped"), [
    ("send", 1, []), ("send_quiet", 1, []), ("drop", 0, [(1, Reason.REJECTED, True)]),
    ("drop_quiet", 0, [(1, Reason.REJECTED, True)]),
])  # fmt: skip
def test_on_error(mode: str, kept: int, dropped: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    """An entry that cannot be parsed goes on unchanged or is dropped and counted; quiet modes log no error."""
    drops: list[Any] = []
    made = program(f"[{{type: json_parser, on_error: {mode}}}]", drops)
    out = made.run([Entry("no json", NOW, {}, {})], NOW)
    assert (len(out), drops) == (kept, dropped)
    assert bool(caplog.records) is not mode.endswith("quiet")


def test_filter_drops_as_intended() -> None:
    """A filter's drops are counted as what the configuration asked for."""
    drops: list[Any] = []
    out = program("""[{type: filter, expr: 'body matches "^a"'}]""", drops).run(
        [Entry(body, NOW, {}, {}) for body in ("ab", "b", "ac")], NOW
    )
    assert [entry.body for entry in out] == ["b"]
    assert drops == [(2, Reason.FILTERED, True)]


ROUTED = """
- type: router
  routes: [{expr: 'body startsWith "a"', output: a, attributes: {route: EXPR(body)}}, {expr: 'body == "b"', output: b}]
  default: end
- {type: add, id: a, field: attributes.a, value: 1, output: end}
- {type: add, id: b, field: attributes.b, value: 1, output: end}
- {type: noop, id: end}
"""


def test_router_keeps_the_order() -> None:
    """Entries take the first route that fits, and leave in the order in which they came."""
    out = run(ROUTED, "b", "a1", "c", "a2")
    assert [(entry.body, entry.attributes) for entry in out] == [
        ("b", {"b": 1}), ("a1", {"a": 1, "route": "a1"}), ("c", {}), ("a2", {"a": 1, "route": "a2"}),
    ]  # fmt: skip


def test_recombine_keeps_until_the_next_begins_or_the_time_is_over() -> None:
    """Parts are joined across calls for each source; the last is sent once it has waited, or when forced."""
    made = program("""[{type: recombine, combine_field: body, is_first_entry: 'body matches "^[^ ]"'}]""")
    entry = lambda body, path: Entry(body, NOW, {"log.file.path": path}, {})  # noqa: E731
    assert made.run([entry("a", "1"), entry("b", "2"), entry(" a2", "1")], NOW) == []
    assert made.pending == 3
    assert [out.body for out in made.run([entry("c", "1")], NOW)] == ["a\n a2"]
    assert made.flush(NOW + 4_999_999_999) == []
    assert [out.body for out in made.flush(NOW + 5_000_000_000)] == ["b", "c"]
    assert made.pending == 0


PATH = "/var/log/pods/ns_pod_49cc7c1fd3702c40b2686ea7486091d3/app/1.log"


@pytest.mark.parametrize("lines", [
    ["2023-06-22T10:27:25.813799277Z stdout P a", "2023-06-22T10:27:25.813799277Z stdout F b"],
    [r'{"log":"a","stream":"stdout","time":"2023-06-22T10:27:25.813799277Z"}',
     r'{"log":"b\n","stream":"stdout","time":"2023-06-22T10:27:25.813799277Z"}'],
], ids=["cri", "docker"])  # fmt: skip
def test_container(lines: list[str]) -> None:
    """Lines of CRI and of Docker are told apart, parts joined, and the pod is named by the path."""
    shared: dict[str, Any] = {}
    made = program("[{type: container}]")
    (out,) = made.run([Entry(line, NOW, {"log.file.path": PATH}, shared) for line in lines], NOW)
    assert (out.body, out.attributes["log.iostream"], out.time) == ("ab", "stdout", 1687429645813799277)
    assert out.resource == {
        "k8s.namespace.name": "ns", "k8s.pod.name": "pod", "k8s.pod.uid": "49cc7c1fd3702c40b2686ea7486091d3",
        "k8s.container.name": "app", "k8s.container.restart_count": "1",
    }  # fmt: skip
    assert shared == {}


def test_a_shared_resource_is_not_changed() -> None:
    """Entries may share a resource: an operator changes that of its entry alone."""
    shared = {"a": 1}
    out = program("[{type: add, field: resource.b, value: 2, if: 'body == \"x\"'}]").run(
        [Entry(body, NOW, {}, shared) for body in "xy"], NOW
    )
    assert [entry.resource for entry in out] == [{"a": 1, "b": 2}, {"a": 1}]


def test_several_outputs_get_copies() -> None:
    """An entry for several outputs is copied: what one operator does to its own is not seen by the other."""
    out = run(
        """
- {type: noop, output: [a, b]}
- {type: add, id: a, field: attributes.a, value: 1, output: end}
- {type: add, id: b, field: attributes.b, value: 1, output: end}
- {type: noop, id: end}
""",
        "x",
        "y",
    )
    assert [(entry.body, entry.attributes) for entry in out] == [
        ("x", {"a": 1}), ("x", {"b": 1}), ("y", {"a": 1}), ("y", {"b": 1}),
    ]  # fmt: skip


def test_what_waits_is_bounded() -> None:
    """Sources beyond the bound, in number and in bytes, send on what has waited longest; nothing is lost."""
    text = "[{type: recombine, combine_field: body, is_last_entry: 'false', max_sources: 10, source_identifier: attributes.s}]"  # noqa: E501
    made = program(text)
    out = made.run([Entry("x" * 9_000_000, NOW, {"s": str(source)}, {}) for source in range(12)], NOW)
    assert len(out) + made.pending == 12
    assert made.pending == 7
    assert [entry.attributes["s"] for entry in [*out, *made.flush(NOW, force=True)]] == [str(n) for n in range(12)]


SECOND = 1_000_000_000
TIMES = [
    ("strptime", "%Y-%m-%d %H:%M:%S.%f %z", "2023-11-14 22:13:20.123456 +0000", NOW + 123_456_000),
    ("strptime", "%d/%b/%Y:%H:%M:%S %j", "15/Nov/2023:00:13:20 +02:00", NOW),
    ("strptime", "%F %r", "2023-11-14 10:13:20 pm", NOW),
    ("strptime", "%b %e %H:%M:%S", "Nov 14 22:13:20", NOW),
    ("strptime", "%b %e %H:%M:%S", "Dec  1 00:00:00", 1_669_852_800 * SECOND),
    ("gotime", "2006-01-02T15:04:05.000Z07:00", "2023-11-14T22:13:20.5Z", NOW + SECOND // 2),
    ("epoch", "s", "1700000000", NOW),
    ("epoch", "ms", 1_700_000_000_000, NOW),
    ("epoch", "s.ns", "1700000000.000000001", NOW + 1),
    ("epoch", "s", 1.7e9, NOW),
]


@pytest.mark.parametrize(("kind", "layout", "text", "nanoseconds"), TIMES, ids=lambda value: str(value)[:30])
def test_times(kind: str, layout: str, text: Any, nanoseconds: int) -> None:
    """Layouts of all three kinds are read; a time without a year is this year's, or else the last's."""
    got = one(
        f"[{{type: time_parser, parse_from: body, layout_type: {kind}, layout: '{layout}', location: UTC}}]", text
    )
    assert got.time == nanoseconds


SEVERITIES = [
    ("{}", "Warning", 13, "Warning"), ("{}", "strange", 0, "strange"), ("{overwrite_text: true}", "err", 17, "ERROR"),
    ("{mapping: {error3: 5xx, info2: [20, {min: 200, max: 299}]}}", 204, 10, "204"),
    ("{mapping: {error3: 5xx}}", 503.0, 19, "503"), ("{preset: none}", "info", 0, "info"),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "body", "number", "text"), SEVERITIES)
def test_severities(keys: str, body: Any, number: int, text: str) -> None:
    """Words, codes and ranges become numbers; the text stays, unless it is to be overwritten."""
    got = one(f"[{{type: severity_parser, parse_from: body, {keys[1:]}]".replace(", }", "}"), body)
    assert (got.severity, got.severity_text) == (number, text)


def test_blocks_of_a_parser() -> None:
    """A parser's blocks read what it has found."""
    got = one(
        """
- type: json_parser
  timestamp: {parse_from: attributes.t, layout_type: epoch, layout: s}
  severity: {parse_from: attributes.l}
  scope_name: {parse_from: attributes.s}
  trace: {}
""",
        '{"t": 1700000000, "l": "error", "s": "lib", "trace_flags": "01", '
        f'"trace_id": "{"ab" * 16}", "span_id": "{"cd" * 8}"}}',
    )
    assert (got.time, got.severity, got.scope, got.flags) == (NOW, 17, "lib", 1)
    assert (got.trace_id, got.span_id) == (b"\xab" * 16, b"\xcd" * 8)


def test_stdout_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    """An entry is one line on standard output, whatever is in it."""
    run("[{type: stdout}]", "a\nb\x1b[31m\u2028")
    shown = capsys.readouterr().out
    assert shown.count("\n") == 1
    assert "\x1b" not in shown


ATTACKS = [
    ("[{type: regex_replace, field: body, regex: 'a(.*b)?', replace_with: x}]", lambda size: "a" * size),
    (r'[{type: regex_parser, regex: "(?P<a>(a+)+)$"}]', lambda size: "a" * size + "b"),
    ("[{type: json_parser}]", lambda size: '{"a":' * (size // 10)),
    ("[{type: json_parser}]", lambda size: '{"a":' + "[" * 900 + " " * size + "]" * 900 + "}"),
    ("[{type: key_value_parser}]", lambda size: "a='" * (size // 3)),
    ("[{type: key_value_parser, delimiter: '=>', pair_delimiter: ';;'}]", lambda size: "a=>" + ";" * size),
    ("[{type: csv_parser, header: 'a,b'}]", lambda size: '"' * (size + 1)),
    ("[{type: uri_parser}]", lambda size: "?" + "a=b&" * (size // 4)),
    ("[{type: uri_parser}]", lambda size: "http://[" + ":" * size),
    ("[{type: uri_parser}]", lambda size: f"http://h:{'9' * size}/"),
    ("[{type: syslog_parser, protocol: rfc5424}]", lambda size: "<1>1 - - - - - [a " + 'b="\\' * (size // 4)),
    ("[{type: syslog_parser, protocol: rfc3164}]", lambda size: "<1>" + "a:" * (size // 2)),
    ("[{type: unquote, field: body}]", lambda size: '"' + "\\" * size + '"'),
    ("[{type: container, add_metadata_from_filepath: false}]", lambda size: "9" * size + " stdout F x"),
    (
        "[{type: time_parser, parse_from: body, layout: '%c %z', location: UTC}]",
        lambda size: "Mon " * (size // 4),
    ),
    ("[{type: time_parser, parse_from: body, layout: s, layout_type: epoch}]", lambda size: "9" * size),
    ("[{type: filter, expr: 'int(body) > 1'}]", lambda size: "9" * size),
]


@pytest.mark.parametrize(("text", "line"), ATTACKS, ids=lambda value: str(value)[:40] if isinstance(value, str) else "")
def test_an_attackers_line_costs_itself(text: str, line: Callable[[int], str]) -> None:
    """A hostile line is an error or a result, never an exception, and takes time in proportion to its length."""
    less, four_times = line(250_000), line(1_000_000)

    def work(line: str) -> None:
        assert len(run(text, line)) == 1

    assert grows_evenly(lambda: work(less), lambda: work(four_times))


def test_container_leaves_alone_what_is_not_its() -> None:
    """Entries for which `if` is false come as they were, in their order, whatever attributes they have."""
    text = "[{type: container, add_metadata_from_filepath: false, if: 'body startsWith \"2\"'}]"
    line = "2026-11-26T11:14:40.1Z stdout {} {}"
    bodies = ["plain one\n", line.format("P", "a"), "plain two\n", line.format("F", "b")]
    out = run(text, *bodies, time="12:00", logtag="P")
    assert [entry.body for entry in out] == ["plain one\n", "plain two\n", "ab"]


@pytest.mark.parametrize("key", ["if: 'true'", "on_error: drop"])
def test_a_router_has_no_keys_that_would_do_nothing(key: str) -> None:
    """Its routes have expressions, and one that fails is followed by the next."""
    with pytest.raises(ValidationError, match="a router has no"):
        program(f"[{{type: router, {key}, routes: [{{expr: 'true', output: n}}]}}, {{type: noop, id: n}}]")


def test_container_keeps_the_streams_apart() -> None:
    """A line of stderr between two parts of one of stdout is neither's."""
    line = "2026-01-02T03:04:05.{}Z {} {} {}"
    bodies = [
        line.format(1, "stdout", "P", "a"),
        line.format(2, "stderr", "F", "x"),
        line.format(3, "stdout", "F", "b"),
    ]
    out = run("[{type: container, add_metadata_from_filepath: false}]", *bodies)
    assert [(entry.attributes["log.iostream"], entry.body) for entry in out] == [("stderr", "x"), ("stdout", "ab")]
