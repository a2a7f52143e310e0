"""`python`: what becomes of a batch when the function does its work, fails, takes too long, or changes."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sluiceway import errors
from sluiceway.component import Reason, Status
from sluiceway.config.load import load
from sluiceway.errors import ConfigError, PermanentError, RefusedError, RetryableError
from sluiceway.otlp import Signal
from sluiceway.processors.python import COMPONENT
from sluiceway.processors.python.worker import LIMIT
from sluiceway.service import Collector
from sluiceway.testing import items, settle, spans
from tests.processors.python.files import running, until, write
from tests.processors.samples import Bench, problems

TAG = """
def mine(batch):
    for item in batch.items:
        item.attributes["tagged"] = True
"""
FAILS = """
def mine(batch):
    for item in batch.items:
        item.attributes["tagged"] = True
        raise ValueError("secret " + item.attributes["http.route"])
"""
WAITS = """
import threading, sluiceway
go, begun = threading.Event(), threading.Event()
def mine(batch):
    begun.set()
    go.wait()
    for item in batch.items:
        item.attributes["tagged"] = True
"""


@pytest.fixture
def untraced() -> Iterator[None]:
    """No coverage of this thread and of those that it starts: with it, CPython 3.11 cannot interrupt a thread."""
    ours, theirs = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)  # type: ignore[arg-type]  # typeshed forgets that this takes it away
    try:
        yield
    finally:
        sys.settrace(ours)
        threading.settrace(theirs)  # type: ignore[arg-type]


def tagged(bench: Bench) -> list[bool]:
    """Of each batch that went on, whether the function has touched it."""
    return ["tagged" in str(batch.proto()) for batch in bench.sink.batches]


def module_of(processor: Any) -> dict[str, Any]:
    """The names in the file that is in force."""
    with processor._life.used() as program:
        names: dict[str, Any] = program.call.__globals__
        return names


# ---- doing its work


@pytest.mark.parametrize("signal", list(Signal))
async def test_function_changes_items(tmp_path: Path, signal: Signal) -> None:
    """Of every signal; the batch that came in stays as it was."""
    batch = items(signal, 3)
    before = bytes(bytearray(batch.payload))
    async with running(tmp_path, TAG) as (processor, bench):
        await processor.consume(batch)
    assert str(bench.sink.batches[0].proto()).count("tagged") == 3
    assert batch.payload == before


async def test_untouched_batch_is_the_same_object(tmp_path: Path) -> None:
    """A function that only reads costs no copy."""
    batch = spans(3)
    async with running(tmp_path, "def mine(batch):\n    [span.name for span in batch.spans]") as (processor, bench):
        await processor.consume(batch)
    assert bench.sink.batches[0] is batch


@pytest.mark.parametrize(("keep", "gone"), [("0", 3), ("1", 2)])
async def test_dropped_items_are_filtered(tmp_path: Path, keep: str, gone: int) -> None:
    """What the function drops is counted as intended; a batch without items does not go on."""
    text = f"def mine(batch):\n    for span in batch.spans[{keep}:]:\n        span.drop()"
    async with running(tmp_path, text) as (processor, bench):
        await processor.consume(spans(3))
    assert bench.drops == [(gone, Reason.FILTERED, True)]
    assert bench.sink.items == 3 - gone
    assert bench.sink.calls == (gone < 3)


async def test_what_is_refused_behind_it_is_not_counted(tmp_path: Path) -> None:
    """The whole batch is the sender's again."""
    async with running(tmp_path, "def mine(batch):\n    batch.spans[0].drop()") as (processor, bench):
        bench.sink.error = RefusedError("full")
        with pytest.raises(RefusedError):
            await processor.consume(spans(3))
    assert bench.drops == []


async def test_function_for_each_item(tmp_path: Path) -> None:
    """With `per: item` the function is given spans, records or points, and may drop them."""
    text = "def mine(item):\n    item.name = 'x'\n    if item.attributes['n'] == 1:\n        item.drop()"
    async with running(tmp_path, text, per="item") as (processor, bench):
        await processor.consume(spans(3))
    assert str(bench.sink.batches[0].proto()).count('name: "x"') == 2


@pytest.mark.parametrize("text", [
    "async def mine(batch):\n    batch.spans[0].attributes['tagged'] = True",
    "import asyncio\nasync def mine(batch):\n    await asyncio.sleep(0)\n    batch.spans[0].attributes['tagged'] = 1",
])  # fmt: skip
async def test_function_may_be_async(tmp_path: Path, text: str) -> None:
    """It runs on the loop, and the view lives while it waits."""
    async with running(tmp_path, text) as (processor, bench):
        await processor.consume(spans(1))
    assert tagged(bench) == [True]


@pytest.mark.parametrize(("thread", "same"), [("true", False), ("false", True)])
async def test_function_has_a_thread_unless_told_otherwise(tmp_path: Path, thread: str, same: bool) -> None:
    """`thread: false` runs it on the loop's."""
    text = "import threading\ndef mine(batch):\n    batch.spans[0].attributes['thread'] = threading.get_ident()"
    async with running(tmp_path, text, thread=thread == "true") as (processor, bench):
        await processor.consume(spans(1))
    assert (str(threading.get_ident()) in str(bench.sink.batches[0].proto())) is same


async def test_class_keeps_its_state_and_has_settings(tmp_path: Path) -> None:
    """An instance of a class is made once, with the settings, and called."""
    text = """
    class Mine:
        def __init__(self, key, start=0):
            self.key, self.count = key, start
        def __call__(self, batch):
            for span in batch.spans:
                self.count += 1
                span.attributes[self.key] = self.count
    """
    async with running(tmp_path, text, function="Mine", settings={"key": "number", "start": 40}) as (processor, bench):
        for _ in range(2):
            await processor.consume(spans(1))
    assert ["int_value: 41" in str(batch.proto()) for batch in bench.sink.batches] == [True, False]
    assert "int_value: 42" in str(bench.sink.batches[1].proto())


async def test_settings_of_a_function(tmp_path: Path) -> None:
    """They are given with each call."""
    text = "def mine(batch, *, key):\n    batch.spans[0].attributes[key] = 1"
    async with running(tmp_path, text, settings={"key": "tagged"}) as (processor, bench):
        await processor.consume(spans(1))
    assert tagged(bench) == [True]


# ---- failing


async def test_failure_refuses_for_good(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By default; the log has the error, and the sender is not told a word of the data."""
    async with running(tmp_path, FAILS) as (processor, bench):
        with pytest.raises(PermanentError, match=r'^processor "under_test" failed$'):
            await processor.consume(spans(3))
    assert (bench.sink.calls, bench.drops) == (0, [])
    assert "secret /{n}" in caplog.text
    assert bench.statuses == [Status.RECOVERABLE_ERROR]


@pytest.mark.parametrize("word", ["pass", "ignore"])
async def test_failure_passes_the_batch_as_it_came(tmp_path: Path, word: str) -> None:
    """Nothing of what the function did before it failed is in it."""
    batch = spans(3)
    async with running(tmp_path, FAILS, error_mode=word) as (processor, bench):
        await processor.consume(batch)
    assert bench.sink.batches[0] is batch
    assert bench.drops == []


async def test_failure_drops_the_batch(tmp_path: Path) -> None:
    """And the ledger knows."""
    async with running(tmp_path, FAILS, error_mode="drop") as (processor, bench):
        await processor.consume(spans(3))
    assert (bench.sink.calls, bench.drops) == (0, [(3, Reason.INTERNAL_ERROR, False)])


async def test_network_failure_may_come_again(tmp_path: Path) -> None:
    """What a lookup raises when its backend is away."""
    async with running(tmp_path, "def mine(batch):\n    raise ConnectionError('no')") as (processor, _):
        with pytest.raises(RetryableError, match=r'^processor "under_test" failed$'):
            await processor.consume(spans(1))


@pytest.mark.parametrize("mode", ["refuse", "pass", "drop"])
async def test_function_may_answer_the_sender(tmp_path: Path, mode: str) -> None:
    """An error of ours is the function's own answer and no failure, whatever the mode."""
    text = "from sluiceway.errors import RefusedError\ndef mine(batch):\n    raise RefusedError('later', 7)"
    async with running(tmp_path, text, error_mode=mode) as (processor, bench):
        with pytest.raises(RefusedError, match="later"):
            await processor.consume(spans(1))
    assert bench.statuses == []


@pytest.mark.parametrize("raised", ["SystemExit", "KeyboardInterrupt", "StopIteration", "GeneratorExit"])
@pytest.mark.parametrize("thread", [True, False])
async def test_nothing_a_function_raises_ends_the_process(tmp_path: Path, raised: str, thread: bool) -> None:
    """What would end a process or a generator is a failure like others."""
    async with running(tmp_path, f"def mine(batch):\n    raise {raised}", thread=thread) as (processor, _):
        with pytest.raises(PermanentError):
            await processor.consume(spans(1))


@pytest.mark.parametrize(("text", "told"), [
    ("def mine(batch):\n    return 1", "must return None"),
    ("async def more(): ...\ndef mine(batch):\n    return more()", "gave a coroutine: define it with async def"),
])  # fmt: skip
async def test_wrong_answer_is_a_failure(
    tmp_path: Path, text: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A function that expects its answer to count would lose its work in silence."""
    async with running(tmp_path, text) as (processor, _):
        with pytest.raises(PermanentError):
            await processor.consume(spans(1))
    assert told in caplog.text


async def test_function_may_return_what_it_was_given(tmp_path: Path) -> None:
    """Out of habit."""
    async with running(tmp_path, TAG + "    return batch") as (processor, bench):
        await processor.consume(spans(1))
    assert tagged(bench) == [True]


async def test_failures_are_counted_and_not_all_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One in ten seconds; the next that is logged says how many were not."""
    async with running(tmp_path, FAILS, error_mode="pass") as (processor, bench):
        for _ in range(3):
            await processor.consume(spans(1))
        assert caplog.text.count("mine failed") == 1
        await bench.clock.advance(10)
        await processor.consume(spans(1))
        assert bench.metrics.read("sluiceway_python_failures", kind="error") == 4
    assert "mine failed (2 more failures since the last that was logged)" in caplog.text


async def test_health_is_well_again(tmp_path: Path) -> None:
    """After the next call that does not fail."""
    text = "calls = []\ndef mine(batch):\n    calls.append(1)\n    assert len(calls) > 1"
    async with running(tmp_path, text, error_mode="pass") as (processor, bench):
        for _ in range(3):
            await processor.consume(spans(1))
    assert bench.statuses == [Status.RECOVERABLE_ERROR, Status.OK]


# ---- taking too long


@pytest.mark.parametrize("mode", ["refuse", "pass", "drop"])
async def test_function_that_blocks_is_given_up(tmp_path: Path, mode: str) -> None:
    """The batch is treated as the mode says, the loop is free meanwhile, and the next batch has another thread."""
    async with running(tmp_path, WAITS, error_mode=mode) as (processor, bench):
        names = module_of(processor)
        consuming = asyncio.create_task(processor.consume(spans(2)))
        await until(names["begun"].is_set)
        await bench.clock.advance(0.9)
        assert not consuming.done()
        await bench.clock.advance(0.1)
        (outcome,) = await asyncio.gather(consuming, return_exceptions=True)
        assert bench.metrics.read("sluiceway_python_failures", kind="timeout") == 1
        names["go"].set()
        await processor.consume(spans(1))
    assert isinstance(outcome, RetryableError) is (mode == "refuse")
    assert tagged(bench) == ([False, True] if mode == "pass" else [True])
    assert bench.drops == ([(2, Reason.INTERNAL_ERROR, False)] if mode == "drop" else [])


async def test_batches_behind_one_that_blocks_go_on(tmp_path: Path) -> None:
    """Their time counts from when they are begun."""
    text = WAITS.replace("go.wait()", "'2' in batch.spans[-1].name or go.wait()")
    async with running(tmp_path, text, error_mode="pass") as (processor, bench):
        names = module_of(processor)
        both = [asyncio.create_task(processor.consume(spans(count))) for count in (2, 3)]
        await until(names["begun"].is_set)
        await bench.clock.advance(1)
        await asyncio.gather(*both)
        names["go"].set()
    assert sorted(zip(tagged(bench), [batch.items for batch in bench.sink.batches], strict=True)) == [
        (False, 2), (True, 3),
    ]  # fmt: skip


async def test_loop_in_python_is_ended(tmp_path: Path, untraced: None) -> None:
    """A function that never ends is interrupted, so that its thread does not burn a core for ever."""
    text = "def mine(batch):\n    while True:\n        len('')"
    async with running(tmp_path, text, error_mode="pass") as (processor, bench):
        consuming = asyncio.create_task(processor.consume(spans(2)))
        await until(lambda: processor._calls._running is not None)
        await bench.clock.advance(1)
        await consuming
        await until(lambda: processor._calls.stuck == 0)
    assert tagged(bench) == [False]


async def test_threads_that_hang_are_few(tmp_path: Path) -> None:
    """With four of them no call is begun any more, until one has ended."""
    async with running(tmp_path, WAITS, error_mode="pass") as (processor, bench):
        names = module_of(processor)
        for _ in range(LIMIT):
            names["begun"].clear()
            consuming = asyncio.create_task(processor.consume(spans(1)))
            await until(names["begun"].is_set)
            await bench.clock.advance(1)
            await consuming
        assert bench.metrics.read("sluiceway_python_stuck_threads") == LIMIT
        await processor.consume(spans(1))
        assert bench.metrics.read("sluiceway_python_failures", kind="stuck") == 1
        names["go"].set()
        await until(lambda: processor._calls.stuck == 0)
        await processor.consume(spans(1))
    assert tagged(bench) == [False] * (LIMIT + 1) + [True]


async def test_batch_that_was_given_up_is_out_of_reach(tmp_path: Path) -> None:
    """A function that wakes up late meets an error when it touches its batch."""
    text = WAITS.replace(
        "go.wait()",
        "\n    while not told:\n        try:\n            go.wait()\n            len(batch.items)\n"
        "        except RuntimeError as e:\n            told.append(str(e))\n"
        "        except BaseException:\n            pass",
    ).replace("go, begun", "told = []\ngo, begun")
    async with running(tmp_path, text, error_mode="pass") as (processor, bench):
        names = module_of(processor)
        consuming = asyncio.create_task(processor.consume(spans(1)))
        await until(names["begun"].is_set)
        await bench.clock.advance(1)
        await consuming
        names["go"].set()
        await until(lambda: processor._calls.stuck == 0)
    assert len(names["told"]) == 1


async def test_async_function_that_hangs_is_cancelled(tmp_path: Path) -> None:
    """When its time is over."""
    text = "import asyncio\nasync def mine(batch):\n    await asyncio.Event().wait()"
    async with running(tmp_path, text) as (processor, bench):
        consuming = asyncio.create_task(processor.consume(spans(1)))
        await bench.clock.advance(1)
        with pytest.raises(RetryableError):
            await consuming
        assert bench.metrics.read("sluiceway_python_failures", kind="timeout") == 1


async def test_timeout_of_the_functions_own_is_a_failure(tmp_path: Path) -> None:
    """And no overrun of ours."""
    async with running(tmp_path, "async def mine(batch):\n    raise TimeoutError") as (processor, bench):
        with pytest.raises(RetryableError):  # TimeoutError is an OSError
            await processor.consume(spans(1))
        assert bench.metrics.read("sluiceway_python_failures", kind="timeout") == 0


async def test_cancelled_batch_is_the_senders(tmp_path: Path) -> None:
    """It does not go on when the function ends after all, and the next one does."""
    async with running(tmp_path, WAITS) as (processor, bench):
        names = module_of(processor)
        consuming = asyncio.create_task(processor.consume(spans(1)))
        await until(names["begun"].is_set)
        consuming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await consuming
        names["go"].set()
        await processor.consume(spans(2))
    assert [batch.items for batch in bench.sink.batches] == [2]


# ---- changing


async def test_changed_file_is_taken_up(tmp_path: Path) -> None:
    """Within the interval, without a restart."""
    async with running(tmp_path, "def mine(batch): ...") as (processor, bench):
        await processor.consume(spans(1))
        write(tmp_path, TAG)
        await bench.clock.advance(1)
        await until(lambda: processor.reloads == 1)
        await processor.consume(spans(1))
    assert tagged(bench) == [False, True]


@pytest.mark.parametrize(("text", "told"), [
    ("def mine(batch:\n", "mine.py, line 1:"), ("1 / 0", "ZeroDivisionError"), ("x = 1", 'no function or class "mine"'),
])  # fmt: skip
async def test_broken_file_leaves_the_old_one_in_force(
    tmp_path: Path, text: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Log and health say why, once, and a mended one is taken up."""
    async with running(tmp_path, TAG) as (processor, bench):
        write(tmp_path, text)
        await bench.clock.advance(1)
        await until(lambda: bool(bench.statuses))
        await bench.clock.advance(5)
        await processor.consume(spans(1))
        assert tagged(bench) == [True]
        assert caplog.text.count(told) == 1
        assert "stays in force" in caplog.text
        write(tmp_path, TAG + "\n")
        await bench.clock.advance(1)
        await until(lambda: processor.reloads == 1)
    assert bench.statuses == [Status.RECOVERABLE_ERROR, Status.OK]


async def test_file_that_never_ends_leaves_the_old_one_in_force(tmp_path: Path, untraced: None) -> None:
    """Its thread is ended, and a mended one is taken up."""
    begun = tmp_path / "begun"
    async with running(tmp_path, TAG) as (processor, bench):
        write(tmp_path, f"open({str(begun)!r}, 'w').close()\nwhile True:\n    len('')")
        await bench.clock.advance(1)
        await until(begun.exists)
        await bench.clock.advance(30)
        await until(lambda: processor._loads.stuck == 0 and bool(bench.statuses))
        write(tmp_path, TAG + "\n")
        await bench.clock.advance(1)
        await until(lambda: processor.reloads == 1)
    assert bench.statuses == [Status.RECOVERABLE_ERROR, Status.OK]


async def test_file_that_is_gone_leaves_the_old_one_in_force(tmp_path: Path) -> None:
    """An editor may take it away for a moment."""
    async with running(tmp_path, TAG) as (processor, bench):
        (tmp_path / "mine.py").unlink()
        await bench.clock.advance(1)
        await until(lambda: bool(bench.statuses))
        await processor.consume(spans(1))
    assert tagged(bench) == [True]


LIVING = """
life = []
class Mine:
    async def __aenter__(self):
        life.append("in")
        return self
    async def __aexit__(self, *_):
        life.append("out")
    async def __call__(self, batch):
        life.append("call")
"""


async def test_class_has_a_life(tmp_path: Path) -> None:
    """It is entered before the first batch and left after the last."""
    async with running(tmp_path, LIVING, function="Mine") as (processor, _):
        await processor.consume(spans(1))
        with processor._life.used() as program:
            life = type(program.instance).__call__.__globals__["life"]
    assert life == ["in", "call", "out"]


async def test_old_class_is_left_when_its_last_call_has_ended(tmp_path: Path) -> None:
    """A reload does not pull a session away from under a call."""
    waiting = LIVING.replace('life.append("call")', 'life.append("call"); await go.wait()').replace(
        "life = []", "import asyncio\nlife, go = [], asyncio.Event()"
    )
    async with running(tmp_path, waiting, function="Mine") as (processor, bench):
        with processor._life.used() as program:
            names = type(program.instance).__call__.__globals__
        consuming = asyncio.create_task(processor.consume(spans(1)))
        await settle()
        write(tmp_path, LIVING)
        await bench.clock.advance(0.5)
        await bench.clock.advance(0.4)
        bench.clock._now += 0.1  # the call's own timer must not fire
        await until(lambda: names["life"] == ["in", "call"])
        names["go"].set()
        await consuming
    assert names["life"] == ["in", "call", "out"]


async def test_class_that_cannot_be_left_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The processor goes on with the new one."""
    broken = LIVING.replace('life.append("out")', "raise OSError('stuck')")
    async with running(tmp_path, broken, function="Mine") as (processor, bench):
        write(tmp_path, LIVING)
        await bench.clock.advance(1)
        await until(lambda: "Mine could not be left" in caplog.text)
        await processor.consume(spans(1))
    assert bench.sink.items == 1


async def test_class_that_is_never_entered_is_given_up(tmp_path: Path) -> None:
    """After half a minute the old one stays in force."""
    begun = tmp_path / "begun"
    waits = f"open({str(begun)!r}, 'w').close(); await asyncio.Event().wait()"
    hangs = LIVING.replace('life.append("in")', waits).replace("life = []", "import asyncio")
    async with running(tmp_path, LIVING, function="Mine") as (processor, bench):
        write(tmp_path, hangs)
        await bench.clock.advance(1)
        await until(begun.exists)
        await bench.clock.advance(60)
        await until(lambda: bool(bench.statuses))
        await processor.consume(spans(1))
        assert processor.reloads == 0


async def test_class_that_cannot_be_entered_stops_the_start(tmp_path: Path) -> None:
    """And after a change leaves the old one in force."""
    broken = LIVING.replace('life.append("in")', "raise OSError('away')")
    with pytest.raises(OSError, match="away"):
        async with running(tmp_path, broken, function="Mine"):
            pass
    async with running(tmp_path, LIVING, function="Mine") as (processor, bench):
        write(tmp_path, broken)
        await bench.clock.advance(1)
        await until(lambda: bool(bench.statuses))
        await processor.consume(spans(1))
        assert processor.reloads == 0


# ---- in a collector


CONFIG = """
receivers:
  feed: {{component: sluiceway.testing:Feeder}}
processors:
  python: {{file: {file}, function: mine, error_mode: {mode}}}
exporters:
  memory: {{component: sluiceway.testing:MemorySink}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [feed], processors: [python], exporters: [memory]}}
"""


@pytest.mark.parametrize(("mode", "delivered", "dropped", "refused"), [
    ("refuse", 1, 1, 5), ("pass", 6, 1, 0), ("drop", 1, 6, 0),
])  # fmt: skip
async def test_ledger_balances(tmp_path: Path, mode: str, delivered: int, dropped: int, refused: int) -> None:
    """Accepted is delivered and dropped, in every mode; what was refused is the sender's."""
    text = "def mine(batch):\n    batch.spans[0].drop()\n    assert len(batch) < 4"
    file = write(tmp_path, text)
    async with Collector.from_yaml(CONFIG.format(file=file, mode=mode)) as collector:
        feed = collector.component("receiver", "feed").feed
        await feed(spans(2))
        try:
            await feed(spans(5))
        except errors.PermanentError:
            assert mode == "refuse"
    (balance,) = collector.ledger.balances()
    assert (balance.delivered, sum(balance.dropped.values()), balance.refused) == (delivered, dropped, refused)
    assert balance.missing == 0


@pytest.mark.parametrize(("text", "function", "told"), [
    ("def mine(batch:", "mine", "mine.py, line 1: '(' was never closed"),
    ("def other(batch): ...\nclass Third: ...", "mine",
     'mine.py has no function or class "mine" (there are: other, Third)'),
    ("x = 1", "mine", 'mine.py has no function or class "mine"'),
    ("mine = 1", "mine", 'mine.py has no function or class "mine"'),
    ("def mine(): ...", "mine", "mine.py: mine() cannot be called with (batch): too many positional arguments"),
    ("def mine(a, b): ...", "mine",
     "mine.py: mine(a, b) cannot be called with (batch): missing a required argument: 'b'"),
    ("def mine(batch): yield", "mine", "mine must not contain yield: nothing of it would run"),
    ("async def mine(batch): yield", "mine", "mine must not contain yield"),
    ("1 / 0", "mine", "mine.py cannot be imported: ZeroDivisionError: division by zero"),
    ("class Mine:\n    def __init__(self, key): ...", "Mine",
     "mine.py: Mine(key) cannot be called with (): missing a required argument: 'key'"),
    ("class Mine:\n    def __init__(self): raise KeyError('x')", "Mine", "mine.py: Mine cannot be made: KeyError: 'x'"),
    ("class Mine: ...", "Mine", "mine.py: Mine needs a method __call__(self, batch)"),
    ("class Mine:\n    def __call__(self): ...", "Mine", "mine.py: Mine.__call__() cannot be called with (batch)"),
])  # fmt: skip
def test_mistakes_in_the_file_are_found_before_anything_starts(
    tmp_path: Path, text: str, function: str, told: str
) -> None:
    """And reported where the configuration names it, with the line in the file."""
    write(tmp_path, text)
    config = tmp_path / "collector.yaml"
    config.write_text(CONFIG.format(file="mine.py", mode="pass").replace("function: mine", f"function: {function}"))
    with pytest.raises(ConfigError) as caught:
        Collector(load([str(config)]))
    (problem,) = caught.value.problems
    assert told in problem.message
    assert (problem.path, problem.file, problem.line) == ("processors::python", str(config), 5)


def test_a_file_that_never_ends_is_a_mistake(tmp_path: Path, untraced: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that ends the process."""
    monkeypatch.setattr("sluiceway.processors.python._LOADING", 0.1)
    for text, told in ("while True:\n    len('')", "it took longer than 0.1 s"), ("exit()", "SystemExit"):
        file = write(tmp_path, text)
        with pytest.raises(ConfigError, match=f"mine.py cannot be imported: {told}"):
            Collector.from_yaml(CONFIG.format(file=file, mode="pass"))


def test_missing_file_is_found_before_anything_starts(tmp_path: Path) -> None:
    """A relative path begins at the folder of the configuration."""
    config = tmp_path / "collector.yaml"
    config.write_text(CONFIG.format(file="./nowhere.py", mode="pass"))
    with pytest.raises(ConfigError, match=f"unable to read the file {tmp_path}/nowhere.py: No such file"):
        Collector(load([str(config)]))


@pytest.mark.parametrize(("settings", "told"), [
    ("{function: a}", "Field required"), ("{file: a.py}", "Field required"), ("{file: '', function: a}", "at least 1"),
    ("{file: a.py, function: a, error_mode: explode}", "Input should be"),
    ("{file: a.py, function: a, timeout: 0s}", "greater than 0"),
    ("{file: a.py, function: a, check_interval: 0s}", "greater than 0"),
])  # fmt: skip
def test_wrong_settings_are_refused(settings: str, told: str) -> None:
    """By name."""
    assert told in problems(COMPONENT, settings)
