"""What the sanitizers of `redaction` leave of URLs, SQL, commands and documents."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

import pytest

from sluiceway.processors.redaction.sanitizers.commands import sanitize_memcached, sanitize_redis
from sluiceway.processors.redaction.sanitizers.documents import sanitize_document
from sluiceway.processors.redaction.sanitizers.urls import cluster_url
from sluiceway.sql import sanitize_sql
from tests.growth import grows_evenly


@pytest.mark.parametrize(
    ("path", "clustered"),
    [
        ("", ""),
        ("/api/users", "/api/users"),
        ("/api/users/12345", "/api/users/*"),
        ("/api/users/123/posts/456", "/api/users/*/posts/*"),
        ("/api/users/123e4567-e89b-12d3-a456-426614174000", "/api/users/*"),
        ("/api/users?id=123&name=john", "/api/users"),
        ("/api/users#top", "/api/users"),
        ("/api/v2/items", "/api/v2/items"),
        ("/api/v12/items", "/api/*/items"),
        ("GET /orders/123/lines/456?sql=SELECT+1", "GET /orders/*/lines/*"),
        ("payments-dev-sql-adapter-queue /api/process/123", "payments-dev-sql-adapter-queue /api/process/*"),
        ("/a/aGVsbG8gd29ybGQ", "/a/*"),
        ("/a/getUserProfile/xkcdqwrtp", "/a/getUserProfile/*"),
        ("/a/b/c/d/e/f/g/h/i/j/k", "/a/b/c/d/e/f/g/h/i"),
        ("/über/5", "/*/*"),
    ],
)
def test_variable_parts_of_a_path_become_asterisks(path: str, clustered: str) -> None:
    """What is no word, and all of a query."""
    assert cluster_url(path) == clustered


@pytest.mark.parametrize(
    ("query", "sanitized"),
    [
        ("SELECT * FROM users WHERE id = 123", "SELECT * FROM users WHERE id = ?"),
        ("UPDATE accounts SET balance = 10.5e3 WHERE id = 0xFF", "UPDATE accounts SET balance = ? WHERE id = ?"),
        ("select 'it''s' , 'a\\'b'", "select ? , ?"),
        ("a = 'never closed \\", "a = ?"),
        ('SELECT "name" FROM "t" WHERE x = "secret"', 'SELECT "name" FROM "t" WHERE x = ?'),
        ('IN ("a", "b")', "IN (?, ?)"),
        ("x = $1 AND y IS NULL OR z = TRUE", "x = ? AND y IS ? OR z = ?"),
        ("SELECT $$it's$$, $tag$a $$ b$tag$ FROM t", "SELECT ?, ? FROM t"),
        ("SELECT $$never closed", "SELECT ?"),
        ("SELECT 1 -- of Jane\n, 2 /* of\nJoe */ + 3 /* never", "SELECT ? \n, ?  + ? "),
        ("SELECT `a 1` FROM shard_12", "SELECT `a 1` FROM shard_?"),
        ("SET user:123 john", "SET user:? john"),
        ("SELECT $t1$my secret$t1$, a$b$c$b$", "SELECT ?, a$b$c$b$"),
        (r"path = 'C:\' AND owner = 'bob smith'", "path = ?"),
        (r"path = 'C:\x' AND owner = 'it\'s bob'", "path = ? AND owner = ?"),
        (r'"C:\" , "bob smith"', "?"),
        ("SELECT E'it\\'s bob', 'x'", "SELECT E?, ?"),
        ("SELECT 1 # card of Bob's\n, 'joe'", "SELECT ? ?"),
        ("SELECT 1 # of Bob\n, 'joe'", "SELECT ? \n, ?"),
        ("SELECT 5--'it\nis bob'", "SELECT ??"),
        ("/* /* */ of Bob */ SELECT 1", " SELECT ?"),
        ("/* /* ' */ 'bob */ joe'", "?"),
        ("SELECT [it's], 'bob' FROM t", "SELECT [it?"),
        ("ARRAY['a', 'b']", "ARRAY[?, ?]"),
    ],
)
def test_sql_keeps_no_values(query: str, sanitized: str) -> None:
    """Strings, numbers, constants, parameters, comments."""
    assert sanitize_sql(query) == sanitized


@pytest.mark.parametrize(
    ("command", "sanitized"),
    [
        ("SET user:123 john doe", "SET user:123 ?"),
        ("GET user:123", "GET user:123"),
        ("AUTH secret", "AUTH ?"),
        ("SET a b\nDEL a", "SET a ?\nDEL a"),
        ("SET a b\r\n\nGET a\n", "SET a ?\n\nGET a\n"),
        ("", ""),
    ],
)
def test_redis_commands_keep_their_key(command: str, sanitized: str) -> None:
    """And nothing else."""
    assert sanitize_redis(command) == sanitized


def test_memcached_commands_lose_their_data() -> None:
    """The first line stays."""
    assert sanitize_memcached("set k 0 60 5\r\nsecret\r\n") == "set k 0 60 5"
    assert sanitize_memcached("get k") == "get k"


@pytest.mark.parametrize(
    ("document", "sanitized"),
    [
        ('{"find":"users","filter":{"name":"john","age":30}}', '{"find":"?","filter":{"name":"?","age":"?"}}'),
        ('[1, true, {"a": [null, -2.5e3]}]', '["?", "?", {"a": ["?", "?"]}]'),
        ('{"a":"quo\\"te"}', '{"a":"?"}'),
        ('{"a":1', '{"a":"?"...'),
        ('{"a":1}}', '{"a":"?"}...'),
        ("{secret:1}", "{..."),
        ("secret", "..."),
        ('"never closed', "..."),
        ("", ""),
    ],
)
def test_documents_keep_their_keys(document: str, sanitized: str) -> None:
    """From where they are no JSON on, nothing."""
    assert sanitize_document(document) == sanitized


HUGE = 16_000_000


@pytest.mark.parametrize(
    ("sanitize", "text"),
    [
        (sanitize_sql, "'" + "a" * HUGE),
        (sanitize_sql, "'" + "\\" * HUGE),
        (sanitize_sql, "/*" + "*" * HUGE),
        (sanitize_document, '{"a":"\\n' + "a" * HUGE + '"}'),
    ],
    ids=["string", "escapes", "comment", "document"],
)
def test_one_long_piece_does_not_hold_up_other_threads(sanitize: Callable[[str], str], text: str) -> None:
    """Sixteen megabytes of it hold the interpreter for moments, between which others get it."""
    thread, turns = Thread(target=sanitize, args=[text]), 0
    thread.start()
    while thread.is_alive():
        thread.join(0.001)
        turns += 1
    assert turns > 5


@pytest.mark.parametrize("unit", ["'[\"$$", "[", "'", "/*", "$a$ ", "--'\n", "e'\\", '`"[]'])
def test_the_time_for_a_query_grows_with_its_length(unit: str) -> None:
    """Whatever it is made of: four times as much takes four times as long, and not sixteen times."""
    less, four_times = (unit * (size // len(unit)) for size in (50_000, 200_000))
    assert grows_evenly(lambda: sanitize_sql(less), lambda: sanitize_sql(four_times))
