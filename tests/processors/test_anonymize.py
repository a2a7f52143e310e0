"""`anonymize`: what its rules make of what stands anywhere in a batch, against a plain program on protobuf objects."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from random import Random
from typing import Any

import pytest

from benchmarks.privacy.encodings import ENCODINGS
from sluiceway.component import Editor
from sluiceway.otlp import Batch, Signal
from sluiceway.otlp.places import PLACES
from sluiceway.otlp.plan import LongWork
from sluiceway.personal import KINDS, Detectors
from sluiceway.personal.cipher import TOKEN, Cipher
from sluiceway.personal.pseudonyms import pseudonym
from sluiceway.processors.anonymize import COMPONENT
from sluiceway.service import Collector
from tests.otlp import naive_scrub
from tests.otlp.strategies import OFFICIAL
from tests.personal.texts import text
from tests.processors.places import planted
from tests.processors.samples import (
    Bench,
    any_value,
    edit,
    gauge,
    logs,
    plain,
    problems,
    resource_attributes,
    span_attributes,
    spans,
)

HMAC = bytes(range(32))
AES = {"k2": b"2" * 32, "k1": b"1" * 32}
KEYS = f"""
keys:
  hmac: '{HMAC.hex()}'
  aes: [{{id: k2, key: '{AES["k2"].hex()}'}}, {{id: k1, key: '{AES["k1"].hex()}'}}]
"""


def after(settings: str, **attributes: Any) -> dict[str, Any]:
    """The attributes of a span after settings written as YAML."""
    (found,) = span_attributes(edit(Bench().make(COMPONENT, KEYS + settings), spans(1, **attributes)))
    return found


def test_it_is_an_editor() -> None:
    """The graph may fuse it, for it never looks at the payload."""
    editor = Bench().make(COMPONENT, "{}")
    assert isinstance(editor, Editor)
    assert not editor.reads_payload


def test_what_is_detected_is_masked() -> None:
    """Without a rule only what is personal in a text goes."""
    assert after("", a="to jane@example.com, 10.1.2.3", b="nothing") == {"a": "to ****, ****", "b": "nothing"}


def test_mask_can_show_both_ends() -> None:
    """Of numbers the digits count, and where fewer than four characters would be hidden, none is shown."""
    rules = "rules: [{detect: all, action: mask, keep_first: 2, keep_last: 4}]"
    found = after(rules, a="4111-1111-1111-1111", b="jörg@example.com", c="10.1.2.34", d=4111111111111111)
    assert found == {"a": "41****1111", "b": "jö****.com", "c": "****", "d": "41****1111"}


def test_hash_is_keyed() -> None:
    """HMAC-SHA-256 of what was found, or of the text of a value of any kind."""
    found = after(
        "rules: [{detect: [email], action: hash}, {keys: [id, b, f, i, l], action: hash}]",
        a="<j@example.com>",
        id="42",
        i=42,
        b=True,
        f=1.5,
        l=["x"],
    )
    code = {
        key: hmac.new(HMAC, key.encode(), hashlib.sha256).hexdigest()
        for key in ("j@example.com", "42", "true", "1.5", "x")
    }
    assert found == {
        "a": f"<{code['j@example.com']}>",
        "id": code["42"],
        "i": code["42"],
        "b": code["true"],
        "f": code["1.5"],
        "l": [code["x"]],
    }


def test_the_same_person_has_the_same_pseudonym() -> None:
    """Found in a text or the value of a key, whatever the spelling; the holder of the key finds it."""
    found = after(
        "rules: [{detect: [email], action: pseudonymize}, {keys: [id], action: pseudonymize}]",
        a="to JANE@example.com.",
        b="jane@example.com",
        id="jane@example.com",
    )
    token = pseudonym(HMAC, "jane@example.com")
    assert found == {"a": f"to {token}.", "b": token, "id": token}
    assert after("rules: [{keys: [id], action: pseudonymize}]", id="jane")["id"] == pseudonym(HMAC, "jane")


def test_what_is_encrypted_can_be_decrypted() -> None:
    """Parts and whole values; the same value never looks the same twice."""
    rules = "rules: [{detect: [email], action: encrypt}, {keys: ['pay.*'], action: encrypt}]"
    found = after(rules, a="to jane@example.com, jane@example.com", pay={"card": "x", "n": 7})
    cipher = Cipher(AES)
    tokens = [match[0] for match in TOKEN.finditer(found["a"])]
    assert [cipher.decrypt(token) for token in tokens] == [b"jane@example.com"] * 2
    assert len(set(tokens)) == 2
    assert cipher.decrypt(found["pay"]["card"]) == b"x"
    assert cipher.decrypt(found["pay"]["n"]) == b"7"


def test_addresses_are_cut_to_their_network() -> None:
    """By the bits that the rule says; anything else is masked."""
    assert after("rules: [{detect: [ip], action: truncate}]", a="10.1.2.3:80 [2001:db8:1:2::3]") == {
        "a": "10.1.2.0:80 [2001:db8:1::]"
    }
    rules = "rules: [{keys: [a, b, c], action: truncate, ipv4_prefix: 13, ipv6_prefix: 20}]"
    assert after(rules, a="10.255.2.3", b="2001:fff8::1", c="jane") == {
        "a": "10.248.0.0",
        "b": "2001:f000::",
        "c": "****",
    }


def test_drop_takes_out_attributes_and_empties_texts() -> None:
    """A name and a body stay, but empty."""
    editor = Bench().make(COMPONENT, "rules: [{keys: [password], action: drop}, {detect: [email], action: drop}]")
    batch = spans(
        1,
        "jane@example.com",
        **{
            "http.request.header.Password": "x",
            "a": "j@example.com",
            "b": 1,
            "m": {"password": "y", "l": ["j@example.com", "z"]},
        },
    )
    assert span_attributes(edit(editor, batch)) == [{"b": 1, "m": {"l": ["z"]}}]
    assert edit(editor, batch).proto().resource_spans[0].scope_spans[0].spans[0].name == ""
    assert (
        not edit(editor, logs("jane@example.com"))
        .proto()
        .resource_logs[0]
        .scope_logs[0]
        .log_records[0]
        .body.WhichOneof("value")
    )


def test_keep_leaves_values_alone() -> None:
    """Of keys, or of what a detector finds."""
    found = after(
        "rules: [{keys: ['service.*'], action: keep}, {detect: [ip], action: keep}]",
        **{"service.x": "j@example.com", "a": "10.1.2.3 j@example.com"},
    )
    assert found == {"service.x": "j@example.com", "a": "10.1.2.3 ****"}


def test_keep_is_no_reason_to_pass_over_an_earlier_rule() -> None:
    """What a rule before it finds is treated, in parts of texts, maps and arrays as well. Later rules are not asked."""
    found = after(
        "rules: [{detect: [email, credit_card], action: mask}, {keys: [user], action: keep}]",
        user={"mail": "to jane@example.com", "all": ["jane@example.com", {"n": 4111111111111111}], "ip": "10.1.2.3"},
    )
    assert found == {"user": {"mail": "to ****", "all": ["****", {"n": "****"}], "ip": "10.1.2.3"}}


@pytest.mark.parametrize("around", ["keep", "mask"])
def test_a_rule_about_a_key_in_a_map_can_come_before_that_about_the_map(around: str) -> None:
    """Whatever the map's own rule does."""
    found = after(
        f"rules: [{{keys: [password], action: drop}}, {{keys: [ctx], action: {around}}}]",
        ctx={"password": "x", "a": {"password": "y", "b": "z"}},
    )
    assert found == {"ctx": {"a": {"b": "z" if around == "keep" else "****"}}}


def test_a_rule_about_a_map_can_come_before_one_about_a_key_in_it() -> None:
    """The first that matches counts, whichever of the two is the nearer one."""
    found = after("rules: [{keys: [ctx], action: mask}, {keys: [note], action: keep}]", ctx={"note": "x"}, note="y")
    assert found == {"ctx": {"note": "****"}, "note": "y"}


def test_a_map_that_is_kept_keeps_its_keys() -> None:
    """Unless an earlier rule is about what is found: then they are looked through as others are."""
    rules = "{keys: [x], action: drop}, {keys: [ctx], action: keep}"
    kept = {"ctx": {"jane@example.com": "10.1.2.3", "a": {"10.1.2.3": 1}}}
    assert after(f"rules: [{rules}]", **kept) == kept
    assert after(f"rules: [{{detect: [email], action: mask}}, {rules}]", **kept) == {
        "ctx": {"****": "10.1.2.3", "a": {"****": 1}}
    }


def test_a_finding_that_is_all_of_a_value_can_come_before_its_key() -> None:
    """When its rule stands first; where it is only a part the whole value is treated for its key."""
    found = after(
        "rules: [{detect: [email], action: mask, keep_last: 4}, {keys: [id], action: hash}]", id="jane@example.com"
    )
    assert found == {"id": "****.com"}
    assert (
        len(
            after("rules: [{detect: [email], action: mask}, {keys: [id], action: hash}]", id="jane@example.com x")["id"]
        )
        == 64
    )


def test_a_rule_can_be_about_findings_in_some_keys() -> None:
    """Both must match."""
    found = after(
        "rules: [{detect: [ip], keys: [client.address], action: truncate}]",
        **{"client.address": "10.1.2.3", "a": "10.1.2.3"},
    )
    assert found == {"client.address": "10.1.2.0", "a": "****"}


def test_maps_are_treated_by_the_keys_around_them() -> None:
    """A rule about a key is about all that is in its value; keys inside are known by their path and by themselves."""
    found = after(
        "rules: [{keys: ['user.*', secret], action: mask}]",
        user={"name": "joe", "tags": ["a", {"b": True}]},
        x={"secret": [1, {"y": 2.5}], "z": "a"},
    )
    assert found == {
        "user": {"name": "****", "tags": ["****", {"b": "****"}]},
        "x": {"secret": ["****", {"y": "****"}], "z": "a"},
    }


def test_numbers_of_cards_are_found_in_numbers() -> None:
    """Integers and doubles; other numbers stay what they are."""
    assert after(
        "",
        a=4111111111111111,
        b=4111111111111111.0,
        c=4111111111111112,
        d=[4111111111111111],
        e=1.5,
        f=-4111111111111111,
    ) == {
        "a": "****",
        "b": "****",
        "c": 4111111111111112,
        "d": ["****"],
        "e": 1.5,
        "f": -4111111111111111,
    }


def test_bytes_are_looked_through() -> None:
    """Values of bytes stay bytes."""
    batch = spans(1)
    message = batch.proto()
    message.resource_spans[0].scope_spans[0].spans[0].attributes.add(
        key="b"
    ).value.bytes_value = b"\xff jane@example.com \0"
    assert span_attributes(edit(Bench().make(COMPONENT, "{}"), Batch.from_proto(message))) == [{"b": b"\xff **** \0"}]


@pytest.mark.parametrize("action", ["mask", "mask, keep_first: 4", "mask, keep_last: 3", "hash", "truncate"])
def test_what_becomes_of_bytes_can_be_read(action: str) -> None:
    """A value of bytes that a mask shows a part of stays bytes, for that part need not be text."""
    message = spans(1).proto()
    span = message.resource_spans[0].scope_spans[0].spans[0]
    span.attributes.add(key="token").value.bytes_value = bytes(range(0xE0, 0xFF))
    settings = KEYS + f"rules: [{{keys: [token], action: {action}}}]"
    ((key, value),) = span_attributes(edit(Bench().make(COMPONENT, settings), Batch.from_proto(message)))[0].items()
    assert key == "token"
    assert isinstance(value, bytes) == action.startswith("mask")


def test_keys_are_looked_through() -> None:
    """A key that holds personal data is changed, its value as well."""
    assert after("rules: [{detect: [email], action: pseudonymize}]", **{"x.jane@example.com": "10.1.2.3"}) == {
        f"{pseudonym(HMAC, 'x.jane@example.com')}": "****"
    }


def test_versions_are_no_addresses() -> None:
    """Where the key says so."""
    assert after("", **{"service.version": "1.2.3.4", "a": "1.2.3.4"}) == {"service.version": "1.2.3.4", "a": "****"}


def test_own_patterns_have_rules_as_detectors_do() -> None:
    """And only detectors that are on find anything."""
    found = after(
        "detect: [email]\npatterns: {order: 'ORD-[0-9]{8}'}\nrules: [{detect: [order], action: pseudonymize}]",
        a="ORD-12345678 ORD-1 10.1.2.3 j@example.com",
    )
    assert found == {"a": f"{pseudonym(HMAC, 'ORD-12345678', 'order')} ORD-1 10.1.2.3 ****"}


@pytest.mark.parametrize(
    ("rules", "given", "left"),
    [
        ("{detect: [email], action: keep}", "jo@corp.com/emp-123456", "jo@corp.****"),
        ("{detect: [email], action: keep}", "jane@corp.com", "jane@corp.com"),
        ("{detect: [corp], action: keep}", "jane@corp.com, jane@corp.com/emp-1", "jane@corp.com, ****"),
        ("{detect: [corp], action: keep}", "jane@corp.com.example.org", "****"),
        ("{detect: [email], action: mask}, {detect: [corp], action: keep}", "jane@corp.com", "****"),
        ("{detect: [secret], action: keep}", "password=jane@corp.com", "password=jane@corp.com"),
        (
            "{detect: [email], action: mask}, {detect: [secret], action: keep}",
            "password=jane@corp.com",
            "password=****",
        ),
        ("{detect: [email], action: mask, keep_last: 4}, {detect: [emp], action: drop}", "jane@corp.com/emp-1", None),
        ("{detect: [emp], action: mask}, {detect: [email], action: mask, keep_last: 4}", "jane@corp.com/emp-1", "****"),
    ],
)
def test_where_findings_overlap_nothing_of_either_gets_through(rules: str, given: str, left: str | None) -> None:
    """What drops counts, then the earlier rule; but what is kept only where it holds all of the other."""
    patterns = "{emp: 'com/emp-[0-9]+', corp: 'jane@corp[.]com\\b'}"
    assert after(f"patterns: {patterns}\nrules: [{rules}]", a=given, b=1) == ({"a": left} if left else {}) | {"b": 1}


def test_decoding_is_asked_for() -> None:
    """Then the whole encoded piece is replaced."""
    assert after("", a="u=jane%40example.com") == {"a": "u=jane%40example.com"}
    assert after("decode: true", a="u=jane%40example.com&x=%41") == {"a": "u=****&x=%41"}


CANARIES = (
    "jane.canary@example.com",
    "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "+49 30 12345678",
    "10.77.77.77",
)


@pytest.mark.parametrize("encoding", ["plain", *ENCODINGS])
@pytest.mark.parametrize("signal", list(Signal))
def test_no_canary_gets_through_anywhere(signal: Signal, encoding: str) -> None:
    """In each place that can hold text, in each encoding that is promised: nothing of it is left in the bytes."""
    editor = Bench(signals=frozenset({signal})).make(COMPONENT, "decode: true")
    for number, canary in enumerate(CANARIES):
        hidden = canary if encoding == "plain" else ENCODINGS[encoding](canary, Random(number))
        batch, places = planted(signal, hidden)
        assert batch.payload.count(hidden.encode()) == places
        anonymized = edit(editor, batch)
        assert anonymized is not None
        assert hidden.encode() not in anonymized.payload
        assert anonymized.items == batch.items


@pytest.mark.parametrize("place", PLACES)
def test_where_narrows_the_places(place: str) -> None:
    """Only the places that are named are looked at."""
    editor = Bench().make(COMPONENT, f"where: [{place}]")
    left = total = 0
    for signal in Signal:
        batch, places = planted(signal, "jane@example.com")
        total += places
        left += edit(editor, batch).payload.count(b"jane@example.com")
    assert 0 < total - left < total


class Judge:
    """What the rules of `test_on_bytes_it_does_what_a_plain_program_does` say, told plainly."""

    def __init__(self) -> None:
        self.detectors = Detectors((1 << len(KINDS)) - 1)

    def text(self, _place: str, given: str) -> str:
        return self._treat(given.encode()).decode()

    rename = text

    def key(self, _place: str, key: str) -> str:
        return "drop" if key.rpartition(".")[2].lower() == "password" else "look"

    def value(self, _place: str, key: str, value: Any) -> Any:
        if key.startswith("user."):
            return self._whole(value)
        if isinstance(value, str):
            treated = self._treat(value.encode(), version=key.endswith("version")).decode()
        elif isinstance(value, bytes):
            treated = self._treat(value, version=key.endswith("version"))
        else:
            return self._number(value)
        return value if treated == value else treated

    def _whole(self, value: Any) -> str:
        """The rules about findings stand before the one about the key, so they win where they are about all of it."""
        findings = self.detectors.find(value.encode()) if isinstance(value, str) else []
        if len(findings) == 1 and KINDS[findings[0][2]] in ("email", "credit_card"):
            first, last, kind, plain_text = findings[0]
            if (first, last) == (0, len(value.encode())):
                return self._replacement(KINDS[kind], plain_text).decode()
        return self._hash(value)

    def _number(self, value: Any) -> Any:
        digits = str(int(value)) if not isinstance(value, bool) and value == value // 1 and 1e11 <= value < 1e19 else ""
        treated = self._treat(digits.encode(), only="credit_card").decode()
        return treated if treated != digits else value

    def _hash(self, value: Any) -> str:
        raw = (
            value
            if isinstance(value, bytes)
            else (str(value).lower() if isinstance(value, bool) else str(value)).encode()
        )
        return hmac.new(HMAC, raw, hashlib.sha256).hexdigest()

    def _treat(self, raw: bytes, *, version: bool = False, only: str = "") -> bytes:
        made, place = b"", 0
        wanted = 1 << KINDS.index(only) if only else 127 & ~(version << KINDS.index("ip"))
        for first, last, kind, plain_text in self.detectors.find(raw, wanted):
            made += raw[place:first] + self._replacement(KINDS[kind], plain_text)
            place = last
        return made + raw[place:]

    def _replacement(self, kind: str, found: bytes) -> bytes:
        if kind == "email":
            return pseudonym(HMAC, found.decode(), "email").encode()
        if kind == "credit_card":
            digits = re.sub(rb"\D", b"", found)
            return b"****" + digits[-4:]
        return b"****"


PLAIN_RULES = (
    KEYS
    + """
rules:
  - {detect: [email], action: pseudonymize}
  - {detect: [credit_card], action: mask, keep_last: 4}
  - {keys: ['user.*'], action: hash}
  - {keys: [password], action: drop}
"""
)


@pytest.mark.parametrize("signal", list(Signal))
def test_on_bytes_it_does_what_a_plain_program_does(signal: Signal) -> None:
    """For batches with personal data and look-alikes in all places, parsed and compared."""
    editor = Bench().make(COMPONENT, PLAIN_RULES)
    for number in range(40):
        random = Random(f"{signal}:{number}")
        batch, _ = planted(
            signal, lambda random=random: text(random) or "x", keys=("user.x", "a.password", "service.version", "note")
        )
        expected = OFFICIAL[signal].FromString(batch.payload)
        for entry in getattr(expected, expected.DESCRIPTOR.fields[0].name):
            naive_scrub.scrub(signal, entry, Judge(), ["all"])
        assert edit(editor, batch).proto().SerializeToString(deterministic=True) == expected.SerializeToString(
            deterministic=True
        )


def test_findings_are_counted_by_detector_and_action() -> None:
    """For remembered texts as well; rules about keys count as `key`."""
    bench = Bench()
    editor = bench.make(COMPONENT, KEYS + "rules: [{detect: [email], action: pseudonymize}, {keys: [p], action: drop}]")
    for _ in range(3):
        edit(
            editor,
            spans(
                2, a=f"jane@example.com and 10.1.2.3 {'in a long text ' * 9}", p="x", k="j@example.com k@example.com"
            ),
        )
    (family,) = [f for f in bench.metrics.families() if f.name == "sluiceway_anonymize_findings"]
    counted = {(labels["detector"], labels["action"]): value for labels, value in family.values() if value}
    assert counted == {("email", "pseudonymize"): 18, ("ip", "mask"): 6, ("key", "drop"): 6}


def test_tenants_share_nothing() -> None:
    """What is remembered is kept apart, and the answers are the same."""
    editor = Bench().make(COMPONENT, "{}")
    long = "jane@example.com " * 8
    for tenant in ("a", "b", "a"):
        batch = spans(1, resource={"tenant.id": tenant}, x=long)
        assert span_attributes(edit(editor, batch)) == [{"x": "**** " * 8}]
        assert resource_attributes(edit(editor, batch)) == [{"tenant.id": tenant}]


CONFIG = """
receivers: {feed: {component: sluiceway.testing:Feeder}}
processors:
  anonymize: {decode: true, rules: [{detect: [ip], action: drop}]}
  attributes: {actions: [{key: team, value: jane@example.com, action: insert}]}
exporters: {memory: {component: sluiceway.testing:MemorySink}}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces: {receivers: [feed], processors: [anonymize, attributes], exporters: [memory]}
"""


async def test_the_ledger_balances_through_it() -> None:
    """All items that came in go out, long ones beside the event loop, and neighbours see what it has left."""
    async with Collector.from_yaml(CONFIG) as collector:
        feeder = collector.component("receiver", "feed")
        for size in (1, 100_000):
            await feeder.feed(spans(5, a="jane%40example.com " * size, b="10.1.2.3"))
        batches = collector.component("exporter", "memory").batches
        assert [span_attributes(batch)[4] for batch in batches] == [
            {"a": "**** " * size, "team": "jane@example.com"} for size in (1, 100_000)
        ]
        (balance,) = collector.ledger.balances()
        assert balance.accepted == balance.delivered == 10


@pytest.mark.parametrize("make", [lambda: spans(3, a="x"), lambda: logs("x", a="x"), lambda: gauge(a="x")])
def test_what_holds_nothing_personal_is_the_same_batch(make: Any) -> None:
    """Not a copy."""
    batch = make()
    assert edit(Bench().make(COMPONENT, "decode: true"), batch) is batch


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("detect: [mail]", 'there is no detector "mail"; did you mean "email"? (valid values: [email '),
        ("rules: [{detect: [mail], action: drop}]", 'there is no detector "mail"; did you mean "email"?'),
        ("rules: [{detect: [email], action: hash}]", "the action hash needs keys::hmac"),
        (
            "rules: [{keys: [a], action: mask}, {keys: [a], action: encrypt}]",
            "the action encrypt needs keys::aes",
        ),
        ("rules: [{action: mask}]", "a rule needs 'detect' or 'keys'"),
        ("rules: [{keys: [''], action: mask}]", "'keys' has an empty name"),
        (
            "rules: [{keys: [a], action: hash, keep_last: 4}]",
            "'keep_first' and 'keep_last' belong to the action mask, not to hash",
        ),
        ("rules: [{keys: [a], action: mask, ipv4_prefix: 4}]", "belong to the action truncate, not to mask"),
        ("rules: [{keys: [a], action: scrub}]", "Input should be 'mask', 'hash'"),
        ("patterns: {email: a}", '"email" is the name of something else'),
        (r"patterns: {x: 'é\C'}", r'invalid pattern "é\C": invalid escape sequence: \C'),
        ("patterns: {x: '('}", 'invalid pattern "("'),
        ("patterns: {x: ''}", "the pattern is empty"),
        ("where: [bodies]", '"bodies" is no place'),
        ("where: []", "names no place"),
        ("keys: {hmac: ''}", "the key is empty"),
        ("keys: {hmac: }", "the key is empty"),
        ("keys: {hmac: abcd}", "the key is too short"),
        ("keys: {aes: [{id: a, key: abcd}]}", "the key has 2 bytes, not 32"),
        ("keys: {aes: [{id: 'a b', key: abcd}]}", "String should match pattern"),
        (
            f"keys: {{aes: [{{id: a, key: '{'00' * 32}'}}, {{id: a, key: '{'01' * 32}'}}]}}",
            "'aes' has the same id twice",
        ),
    ],
)
def test_bad_settings_say_what_is_wrong(settings: str, problem: str) -> None:
    """With the place and the remedy."""
    assert problem in problems(COMPONENT, settings)


def test_keys_never_print() -> None:
    """Neither in errors nor in what a configuration shows."""
    key = "not-a-key-but-secret!"
    assert key not in problems(COMPONENT, f"keys: {{hmac: '{key}'}}")
    assert HMAC.hex() not in repr(COMPONENT.config.model_validate({"keys": {"hmac": HMAC.hex()}}))


def test_ten_thousand_rules_and_a_hostile_text_do_not_stall() -> None:
    """A batch with a mebibyte of what makes detectors look takes less than a second."""
    rules = ", ".join(f"{{keys: ['service{number}.*', name{number}], action: mask}}" for number in range(10_000))
    editor = Bench().make(COMPONENT, f"decode: true\nrules: [{rules}]")
    batches = [spans(2, name9999="x", other=piece * (2**20 // len(piece))) for piece in ("1 ", "token=", "a@a.", "%40")]
    for batch in batches:
        start = time.thread_time()
        (first, _) = span_attributes(edit(editor, batch))
        assert time.thread_time() - start < 1
        assert first["name9999"] == "****"


def test_long_keys_count_as_work() -> None:
    """A run that others wait for is given up where globs would have to be tried on them."""
    batch = spans(1, **{"user" * 20_000: "x"})
    plan = Bench().make(COMPONENT, "rules: [{keys: ['*user*email*'], action: drop}]").plan
    with pytest.raises(LongWork):
        plan.outcome(batch, hurried=True)
    assert plan.outcome(batch).batch is batch


def test_any_value_is_taken() -> None:
    """Empty values, deep nesting and every kind."""
    value = any_value({"a": [{"b": [1, True, 2.5, "jane@example.com"]}, [], {}]})
    assert plain(value) == {"a": [{"b": [1, True, 2.5, "jane@example.com"]}, [], {}]}
    assert after("", v=plain(value)) == {"v": {"a": [{"b": [1, True, 2.5, "****"]}, [], {}]}}
