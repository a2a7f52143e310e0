"""What plans do, told plainly on protobuf objects: the oracle of the edit kernel."""

from __future__ import annotations

import re2

from sluiceway.otlp import Signal
from sluiceway.otlp.plan import Convert, Copy, Drop, Extract, Hash, Level, Put, Remove, Scrub, Slot, encode_value
from sluiceway.otlp.rewriting import conversion, digest, match_text, value_text
from tests.otlp import naive_conditions, naive_scrub

KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
DATA = ("gauge", "sum", "histogram", "exponential_histogram", "summary")


class Target:
    """A message with attributes, and what conditions may ask about it."""

    def __init__(self, level, holder, resource, scope=None, item=None, metric=None):
        self.level, self.holder, self.resource, self.scope, self.item, self.metric = (
            level, holder, resource, scope, item, metric,
        )  # fmt: skip

    def attributes(self):
        return self.holder()


def run(parts, signal, message, arguments=None):
    """Edit a protobuf message in place as plans of `parts` would, one after the other."""
    entries = getattr(message, f"resource_{signal.value if signal is not Signal.TRACES else 'spans'}")
    for index, entry in enumerate(entries):
        targets = list(_targets(signal, entry))
        absent = [(holder, field) for holder, field in _holders(signal, entry) if not holder.HasField(field)]
        for actions in parts:
            if actions and isinstance(actions[0], Scrub):
                naive_scrub.scrub(signal, entry, actions[0].scrubber.judge, actions[0].scrubber.where)
            else:
                _run_part(actions, targets, arguments or {}, index)
        for holder, field in absent:
            if not getattr(holder, field).attributes:
                holder.ClearField(field)


def run_dropping(parts, signal, message):
    """Do the actions of parts, one after the other; give back how many items each of their drops took out."""
    tallies = []
    entries = getattr(message, f"resource_{signal.value if signal is not Signal.TRACES else 'spans'}")
    absent = [(h, f) for entry in entries for h, f in _holders(signal, entry) if not h.HasField(f)]
    for actions in parts:
        edits = []
        for action in actions:
            if isinstance(action, Drop):
                run([edits], signal, message)
                edits = []
                tallies.append(drop(action, signal, message))
            else:
                edits.append(action)
        run([edits], signal, message)
    for holder, field in absent:
        if not getattr(holder, field).attributes:
            holder.ClearField(field)
    return tallies


def drop(action, signal, message):
    """Take out what a `Drop` would; give back how many items went."""
    return naive_conditions.drop(action, signal, message, _is_chosen)


def _is_chosen(selection, around):
    found = around.messages
    return is_selected(
        selection,
        Target(
            max(found), None, found[Level.RESOURCE], found.get(Level.SCOPE), found.get(Level.ITEM),
            found.get(Level.METRIC),
        ),
    )  # fmt: skip


def _holders(signal, entry):
    """The messages that hold a resource or a scope: one that was added and lost again counts as never there."""
    yield entry, "resource"
    for scope in getattr(entry, f"scope_{signal.value if signal is not Signal.TRACES else 'spans'}"):
        yield scope, "scope"


def _run_part(actions, targets, arguments, index):
    chosen = {}
    for action in actions:
        if action.where is not None and id(action.where) not in chosen:
            chosen[id(action.where)] = [is_selected(action.where, target) for target in targets]
        for place, target in enumerate(targets):
            if target.level == action.level and (action.where is None or chosen[id(action.where)][place]):
                _act(action, target.attributes(), arguments, index)


def _targets(signal, entry):
    yield Target(Level.RESOURCE, lambda: entry.resource.attributes, entry)
    scopes = getattr(entry, f"scope_{signal.value if signal is not Signal.TRACES else 'spans'}")
    for scope in scopes:
        yield Target(Level.SCOPE, lambda scope=scope: scope.scope.attributes, entry, scope)
        for item, metric in _items(signal, scope):
            yield Target(Level.ITEM, lambda item=item: item.attributes, entry, scope, item, metric)


def _items(signal, scope):
    if signal is not Signal.METRICS:
        yield from ((item, None) for item in (scope.spans if signal is Signal.TRACES else scope.log_records))
        return
    for metric in scope.metrics:
        kind = metric.WhichOneof("data")
        yield from ((point, metric) for point in (getattr(metric, kind).data_points if kind else ()))


# ---- actions


def _act(action, attributes, arguments, index):
    match action:
        case Put():
            _put(action, attributes, arguments, index)
        case Remove():
            keep = [kv for kv in attributes if not _is_target(action, kv.key)]
            if len(keep) < len(attributes):
                copies = [type(kv).FromString(kv.SerializeToString()) for kv in keep]
                del attributes[:]
                attributes.extend(copies)
        case Hash():
            for kv in attributes:
                if _is_target(action, kv.key):
                    _rewrite(kv, digest(action.algorithm))
        case Convert():
            for kv in attributes:
                if kv.key == action.key:
                    _rewrite(kv, conversion(action.to))
        case Extract():
            _extract(action, attributes)


def _is_target(action, key):
    return bool((action.key and key == action.key) or (action.pattern and re2.search(action.pattern, key)))


def _rewrite(kv, ask):
    new = ask(kv.value.SerializeToString())
    if new is not None:
        kv.value.Clear()
        kv.value.MergeFromString(new)


def _first(attributes, key):
    return next((kv for kv in attributes if kv.key == key), None)


def _put(action, attributes, arguments, index):
    value = action.value
    if isinstance(value, Slot):
        value = arguments[value]
        value = value[index] if isinstance(value, list) else value
        if value is None:
            return
    if isinstance(value, Copy):
        source = _first(attributes, value.key)
        if source is None:
            return
        content = source.value.SerializeToString()
    else:
        content = encode_value(value)
    present = _first(attributes, action.key) is not None
    if action.mode != ("insert" if present else "update"):
        _upsert(attributes, action.key, content)


def _upsert(attributes, key, content):
    first = _first(attributes, key)
    if first is None:
        first = attributes.add(key=key)
    first.value.Clear()
    first.value.MergeFromString(content)
    first.value.SetInParent()
    places = [place for place, kv in enumerate(attributes) if kv.key == key]
    for place in reversed(places[1:]):
        del attributes[place]


def _extract(action, attributes):
    source = _first(attributes, action.key)
    if source is None or source.value.WhichOneof("value") != "string_value":
        return
    found = re2.search(action.pattern, source.value.string_value)
    if found:
        for name, place in sorted(re2.compile(action.pattern).groupindex.items(), key=lambda entry: entry[1]):
            _upsert(attributes, name, encode_value(found.group(place) or ""))


# ---- selections


def is_selected(selection, target):
    """Whether a target is one that the selection's actions touch."""
    included = selection.include is None or _matches(selection.include, target)
    return included and not (selection.exclude is not None and _matches(selection.exclude, target))


def _matches(match, target):
    resource = target.resource.resource.attributes
    checks = [_has_attributes(match, match.resources, resource)]
    if match.services:
        service = _first(resource, "service.name")
        checks.append(_one(match, match.services, _text(service.value) if service else "<nil-service-name>"))
    if target.scope is not None and match.libraries:
        scope = target.scope.scope
        checks.append(
            any(
                _one(match, [name], scope.name) and (version is None or _one(match, [version], scope.version))
                for name, version in match.libraries
            )
        )
    if target.item is not None:
        checks += _item_checks(match, target)
    return all(checks)


def _item_checks(match, target):
    item, of = target.item, type(target.item).__name__
    yield _has_attributes(match, match.attributes, item.attributes)
    if match.span_names:
        yield of == "Span" and _one(match, match.span_names, item.name)
    if match.span_kinds:
        yield of == "Span" and _kind_matches(match, item.kind)
    if match.log_bodies:
        yield of == "LogRecord" and _one(match, match.log_bodies, _text(item.body))
    if match.log_severity_texts:
        yield of == "LogRecord" and _one(match, match.log_severity_texts, item.severity_text)
    if match.log_severity_min is not None or match.log_severity_undefined:
        yield of == "LogRecord" and _severity_matches(match, item.severity_number)
    if match.metric_names:
        yield target.metric is not None and _one(match, match.metric_names, target.metric.name)


def _severity_matches(match, number):
    if number == 0:
        return match.log_severity_undefined
    return match.log_severity_min is not None and number >= match.log_severity_min


def _kind_matches(match, kind):
    name = f"SPAN_KIND_{KINDS[kind]}" if 0 <= kind < len(KINDS) else ""
    if match.regexp:
        return _one(match, match.span_kinds, name)
    return name in {f"SPAN_KIND_{wanted.upper().removeprefix('SPAN_KIND_')}" for wanted in match.span_kinds}


def _one(match, wanted, text):
    return any(re2.search(each, text) for each in wanted) if match.regexp else text in wanted


def _text(value):
    from sluiceway.otlp.plan import decode_value

    return value_text(decode_value(value.SerializeToString()))


def _has_attributes(match, wanted, attributes):
    return all(_has_attribute(match, key, value, attributes) for key, value in wanted)


def _has_attribute(match, key, value, attributes):
    found = _first(attributes, key)
    if found is None or value is None:
        return found is not None
    if match.regexp:
        text = match_text(found.value.SerializeToString())
        return text is not None and re2.search(value, text.decode()) is not None
    wanted = type(found.value).FromString(encode_value(value))
    kind = wanted.WhichOneof("value")
    return found.value.WhichOneof("value") == kind and _same(getattr(found.value, kind), getattr(wanted, kind), kind)


def _same(found, wanted, kind):
    """Equality that does not see unknown fields."""
    if kind not in ("array_value", "kvlist_value"):
        return found == wanted
    from sluiceway.otlp.plan import decode_value

    tag = {"array_value": b"\x2a", "kvlist_value": b"\x32"}[kind]
    left, right = (decode_value(tag + _varint(len(raw)) + raw) for raw in map(_raw, (found, wanted)))
    return repr(left) == repr(right)


def _raw(message):
    return message.SerializeToString()


def _varint(number):
    from sluiceway.otlp.anyvalue import varint

    return varint(number)
