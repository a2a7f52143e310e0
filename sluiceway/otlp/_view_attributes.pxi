# Attributes as a mapping; part of _view.pyx.

cdef class AttributesOf(Field):
    """The attributes of a view, as a mapping made by `kind`."""

    cdef object kind

    def __init__(self, uint32_t number, kind, *, uint8_t inside=0):
        if not issubclass(kind, AttributesView):
            raise TypeError("a class of attributes is needed")
        self.number = number
        self.inside = inside
        self.kind = kind

    cdef Message* holder(self, Draft draft, Message* message) except NULL:
        message = self.target(draft, message)
        message.attribute_tag = <uint8_t>(self.number << 3 | WIRE_BYTES)
        return message

    cdef object read(self, Draft draft, Message* message):
        return make_view(self.kind, draft, self.holder(draft, message))

    cdef int write(self, Draft draft, Message* message, object value) except -1:
        """Have these attributes and no others; so does `|=`, which gives a view what it holds already."""
        message = self.holder(draft, message)
        if isinstance(value, AttributesView) and (<AttributesView>value).message == message:
            return 0
        given = dict(value)
        draft.require_open()
        view = <AttributesView>make_view(self.kind, draft, message)
        for key, each in given.items():
            view[key] = each
        for key in view.keys() - given.keys():
            del view[key]
        return 0

    cdef object look_up(self, Draft draft, Message* message, str key, object default):
        return look_up(draft, self.holder(draft, message), key, default)

    cdef int put(self, Draft draft, Message* message, str key, object value) except -1:
        return put(draft, self.holder(draft, message), key, value)


cdef object look_up(Draft draft, Message* message, str key, object default):
    cdef Text name
    cdef Text content
    text_of(key, &name)
    if not find_attribute(message, &draft.arena, name, &content):
        return default
    return draft.value_of(message, 0, (<const char*>name.data)[:name.size], content)


cdef int put(Draft draft, Message* message, str key, object value) except -1:
    cdef Text name
    cdef Text content
    encode(draft, value, &content)
    text_of(key, &name)
    copy_text(draft, &name)
    draft.forget(message, 0, (<const char*>name.data)[:name.size])
    draft.require_open()
    return write_attribute(draft, message, name, content)


cdef class AttributesView(View):
    """A mapping over the attributes in the bytes. Of several with one key the first counts."""

    def __getitem__(self, str key not None):
        self.require_open()
        found = look_up(self.draft, self.message, key, NO_ARGUMENTS)
        if found is NO_ARGUMENTS:
            raise KeyError(key)
        return found

    def get(self, str key not None, default=None):
        """The value, or `default` where there is no such attribute."""
        self.require_open()
        return look_up(self.draft, self.message, key, default)

    def __contains__(self, key):
        cdef Text name
        cdef Text content
        self.require_open()
        if not isinstance(key, str):
            return False
        text_of(key, &name)
        return find_attribute(self.message, &self.draft.arena, name, &content)

    def __setitem__(self, str key not None, value):
        self.require_open()
        put(self.draft, self.message, key, value)

    def __delitem__(self, str key not None):
        cdef Text name
        cdef Message* message = self.message
        self.require_open()
        text_of(key, &name)
        self.draft.forget(message, 0, (<const char*>name.data)[:name.size])
        self.require_open()
        gather_attributes(message, &self.draft.arena, &self.draft.edited)
        if find(&message.attributes, name, 0) < 0:
            raise KeyError(key)
        remove_all(&message.attributes, name, 0)
        self.draft.mark(message)

    def __iter__(self):
        return iter(self.keys())

    def __len__(self):
        return len(self.keys())

    def keys(self):
        """The keys as they are now, in the order in which they stand."""
        self.require_open()
        return self.gathered(False).keys()

    def values(self):
        """The values as they are now."""
        return self.copy().values()

    def items(self):
        """Keys and values as they are now."""
        return self.copy().items()

    def copy(self):
        """A dictionary of all attributes as they are now."""
        self.require_open()
        return self.gathered(True)

    cdef dict gathered(self, bint decoded):
        cdef dict found = {}
        cdef Message* message = self.message
        cdef size_t index = 0
        cdef Text name
        cdef Text content
        gather_attributes(message, &self.draft.arena, &self.draft.edited)
        while index < message.attributes.count:
            if message.attributes.list[index].state != REMOVED:
                name = message.attributes.list[index].key
                content = message.attributes.list[index].value
                if content.data == NULL:
                    content = Text(name.data, 0)
                key = PyUnicode_DecodeUTF8(<const char*>name.data, name.size, "replace")
                if key not in found:
                    found[key] = self.draft.value_of(
                        message, 0, (<const char*>name.data)[:name.size], content
                    ) if decoded else None
            index += 1
        return found
