"""syslog: the two forms of messages, where they begin and end in a stream, and the servers that take them."""
