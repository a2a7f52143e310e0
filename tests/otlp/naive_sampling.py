"""What samplers decide and write, told plainly on protobuf objects by the rules of the specification: their oracle."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from sluiceway.otlp.plan import decode_value
from sluiceway.otlp.rewriting import value_text
from sluiceway.otlp.sampling import single

NEVER = 2**56
ALL = NEVER - 1
KEY = re.compile(r"[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13}")
VALUE = re.compile(r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")
OT = re.compile(r"[a-z][a-z0-9]*:[a-zA-Z0-9._\-]*(;[a-z][a-z0-9]*:[a-zA-Z0-9._\-]*)*")


class MalformedError(Exception):
    """What an item says of its sampling cannot be read."""


def fnv(data):
    """FNV-1a, 32 bits."""
    result = 0x811C9DC5
    for byte in data:
        result = (result ^ byte) * 0x01000193 % 2**32
    return result


def _hashed(seed, data):
    full = fnv(seed.to_bytes(4, "little") + data)
    low, high = full % 2**14, full >> 18
    return ((2**14 - 1 - low) << 42) + ((high ^ high << 10) << 14) + low


def threshold_of(probability, precision):
    """None beyond what can be expressed."""
    if not 2.0**-56 <= probability <= 1:
        return None
    if probability == 1:
        return 0
    zeros = max(-math.frexp(probability)[1] // 4, -math.frexp(1 - probability)[1] // 4)
    unit = 16 ** (14 - min(14, precision + zeros))
    exact = NEVER - int(Fraction(probability) * NEVER + Fraction(1, 2))
    return (exact + unit // 2) // unit * unit


def _hexadecimal(text, sizes):
    if not re.fullmatch(r"[0-9a-fA-F]+", text) or len(text) not in sizes:
        raise MalformedError
    return int(text.ljust(14, "0"), 16)


def read_state(raw):
    """The members of a tracestate, and those of `ot` as a dict with `rv` and `th` among them."""
    members, ot, broken = [], {}, False
    if len(raw) > 1024:
        raise MalformedError
    pieces = raw.split(",") if raw else []
    if pieces and pieces[-1] == "":
        pieces.pop()
    for count, piece in enumerate(pieces, 1):
        member = piece.strip(" \t")
        if count >= 32:
            raise MalformedError
        if not member:
            continue
        key, equals, value = member.partition("=")
        if not equals or not KEY.fullmatch(key) or not VALUE.fullmatch(value):
            raise MalformedError
        if key == "ot":
            if not OT.fullmatch(value):
                raise MalformedError
            ot = {"extras": []}
            for entry in value.split(";"):
                name, _, content = entry.partition(":")
                try:
                    if name == "rv":
                        _hexadecimal(content, [14])
                        ot["rv"] = content
                    elif name == "th":
                        _hexadecimal(content, range(1, 15))
                        ot["th"] = content
                    else:
                        ot["extras"].append(entry)
                except MalformedError:
                    broken = True
        else:
            members.append(member)
    if broken:
        raise MalformedError
    return members, ot


def _write_state(members, ot):
    entries = [f"{name}:{ot[name]}" for name in ("rv", "th") if name in ot] + ot.get("extras", [])
    return ",".join(([f"ot={';'.join(entries)}"] if entries else []) + members)


def _digits(number):
    return f"{number:014x}"


def th(threshold):
    """A threshold as it is written."""
    return _digits(threshold).rstrip("0") or "0"


class Decision:
    """What is decided about one item."""

    def __init__(self, sample):
        self.sample = sample
        self.percentage = min(single(sample.percentage), 100.0)
        self.ratio = max(self.percentage / 100, 2.0**-56)
        self.buckets = int(single(self.percentage * single(16384 / 100)))
        self.mode = sample.mode
        if self.percentage == 0 or (sample.mode == "hash_seed" and not self.buckets):
            self.mode = "never"

    def threshold(self, arriving):
        if self.mode == "never":
            return NEVER
        if self.mode == "hash_seed":
            return (16384 - self.buckets) << 42
        if self.mode == "equalizing":
            return max(threshold_of(self.ratio, self.sample.precision), arriving or 0)
        probability = 1.0 if arriving is None else (NEVER - arriving) / 2.0**56
        found = threshold_of(probability * self.ratio, self.sample.precision)
        return NEVER if found is None else found

    def by_trace_id(self, trace_id):
        if not any(trace_id):
            return None
        return _hashed(self.sample.seed, trace_id) if self.mode == "hash_seed" else int.from_bytes(trace_id[9:], "big")


def _first(attributes, key):
    return next((decode_value(kv.value.SerializeToString()) for kv in attributes if kv.key == key), None)


def sample_span(sample, span):
    """Whether a span is kept; its tracestate is changed as it is to be."""
    decision = Decision(sample)
    randomness, ot, members, failed, writes = decision.by_trace_id(span.trace_id), {}, [], False, True
    try:
        members, ot = read_state(span.trace_state)
    except MalformedError:
        failed, writes = True, False
        if decision.mode in ("equalizing", "proportional"):
            randomness = None
    else:
        if decision.mode == "hash_seed":
            if "rv" in ot or "th" in ot:
                failed, writes = True, False
            else:
                ot["rv"] = _digits(ALL if randomness is None else randomness)
        elif "rv" in ot and decision.mode != "never":
            randomness = int(ot["rv"], 16)
    if decision.mode == "never":
        randomness = ALL
    threshold = settle(decision, randomness, ot if writes else {}, failed)
    priority = _asked_priority(_first(span.attributes, "sampling.priority"))
    threshold = {None: threshold, True: 0, False: NEVER}[priority]
    kept = (ALL if randomness is None else randomness) >= threshold
    if kept and writes:
        _update(ot, threshold)
        span.trace_state = _write_state(members, ot)
    return kept


def settle(decision, randomness, ot, failed):
    """The threshold to reach; an arriving one that is wrong is taken out of `ot`."""
    arriving = _hexadecimal(ot["th"], range(1, 15)) if "th" in ot else None
    if not failed and randomness is None:
        failed = True
    elif not failed and arriving is not None and arriving > randomness:
        del ot["th"]
        failed = True
    if failed:
        return NEVER if decision.sample.fail_closed else 0
    return decision.threshold(arriving)


def _update(ot, threshold):
    if "th" not in ot or _hexadecimal(ot["th"], range(1, 15)) <= threshold:
        ot["th"] = th(threshold)


def _asked_priority(value):
    if isinstance(value, str):
        if not re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", value):
            return None
        value = float(value)
        if math.isinf(value):
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or math.isnan(value):
        return None
    return value > 0


def sample_log(sample, record):
    """Whether a record is kept; its attributes are changed as they are to be."""
    decision = Decision(sample)
    said = {
        name: _first(record.attributes, f"sampling.{key}") for name, key in (("th", "threshold"), ("rv", "randomness"))
    }
    ot = {name: value for name, value in said.items() if isinstance(value, str) and value}
    failed = False
    for name, sizes in (("th", range(1, 15)), ("rv", [14])):
        try:
            _hexadecimal(ot.get(name, "0" * 14), sizes)
        except MalformedError:
            failed = True
    writes = not failed
    randomness = decision.by_trace_id(record.trace_id)
    had_threshold = "th" in ot
    if decision.mode == "hash_seed":
        randomness = randomness if sample.from_trace_id else None
        if randomness is None and sample.attribute:
            data = _as_bytes(_first(record.attributes, sample.attribute))
            randomness = _hashed(sample.seed, data) if data else None
        if writes and ot:
            failed, writes = True, False
    elif failed:
        randomness = None
    elif "rv" in ot:
        randomness = int(ot["rv"], 16)
    if decision.mode == "never":
        randomness = ALL
    threshold = settle(decision, randomness, ot if writes else {}, failed)
    wanted = _first(record.attributes, sample.priority) if sample.priority else None
    if isinstance(wanted, int | float) and not isinstance(wanted, bool):
        asked = threshold_of(wanted / 100, sample.precision)
        threshold = threshold if asked is None else asked
    kept = (ALL if randomness is None else randomness) >= threshold
    if kept and writes:
        if decision.mode == "hash_seed" and randomness is not None:
            _put(record.attributes, "sampling.randomness", _digits(randomness))
        if had_threshold and "th" not in ot:
            _remove(record.attributes, "sampling.threshold")
        if "th" not in ot or _hexadecimal(ot["th"], range(1, 15)) <= threshold:
            _put(record.attributes, "sampling.threshold", th(threshold))
    return kept


def _as_bytes(value):
    return value if isinstance(value, bytes) else b"" if value is None else value_text(value).encode()


def _put(attributes, key, text):
    found = next((kv for kv in attributes if kv.key == key), None)
    if found is None:
        found = attributes.add(key=key)
    found.value.Clear()
    found.value.string_value = text


def _remove(attributes, key):
    for place in reversed([place for place, kv in enumerate(attributes) if kv.key == key]):
        del attributes[place]
