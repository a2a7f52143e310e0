cdef class Entry:
    cdef public object body
    cdef public object observed
    cdef public dict attributes
    cdef public object resource
    cdef public object time
    cdef public object severity
    cdef public object severity_text
    cdef public object event_name
    cdef public object scope
    cdef public object trace_id
    cdef public object span_id
    cdef public object flags
    cdef public object mark
