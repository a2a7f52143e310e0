"""One log line on its way to a LogRecord, as a compiled class: there is one for each line."""

cimport cython


@cython.freelist(4096)
@cython.no_gc  # nothing that an entry holds can lead back to it
cdef class Entry:
    """What operators read and change. It becomes one LogRecord.

    `body` and the values of `attributes` and `resource` are what OTLP can hold: texts, bools, ints of 64 bits, floats,
    bytes, and lists and dicts of them with texts as keys; None is an empty value. Times are nanoseconds since the Unix
    epoch, 0 for unknown. `severity` is the SeverityNumber, 0 for none. `mark` is the receiver's own: where the line
    came from.
    """

    def __init__(self, body, observed, dict attributes not None, resource):
        _fill(self, body, observed, attributes, resource)

    def __reduce__(self):
        return _restore, (
            self.body, self.observed, self.attributes, self.resource, self.time, self.severity, self.severity_text,
            self.event_name, self.scope, self.trace_id, self.span_id, self.flags, self.mark,
        )


cdef inline void _fill(Entry entry, object body, object observed, dict attributes, object resource):
    entry.body = body
    entry.observed = observed
    entry.attributes = attributes
    entry.resource = resource
    entry.time = 0
    entry.severity = 0
    entry.severity_text = ""
    entry.event_name = ""
    entry.scope = ""
    entry.trace_id = b""
    entry.span_id = b""
    entry.flags = 0


def _restore(body, observed, attributes, resource, *rest):
    cdef Entry entry = Entry(body, observed, attributes, resource)
    (
        entry.time, entry.severity, entry.severity_text, entry.event_name, entry.scope, entry.trace_id, entry.span_id,
        entry.flags, entry.mark,
    ) = rest
    return entry


def entries(list bodies not None, observed, dict attributes not None, resource):
    """An entry for each body that is not empty, with attributes of its own and the resource in common."""
    cdef list made = []
    cdef Entry entry
    for body in bodies:
        if body:
            entry = Entry.__new__(Entry)
            _fill(entry, body, observed, attributes.copy(), resource)
            made.append(entry)
    return made
