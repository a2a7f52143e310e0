"""`sluiceway queue`: what is in queues on disk and among dead letters, and what is to become of it."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import orjson

from sluiceway.cli.keys import read_key
from sluiceway.cli.sources import add_source_arguments, read_config
from sluiceway.errors import ConfigError
from sluiceway.otlp import Signal
from sluiceway.otlp.json import encode
from sluiceway.personal.keys import AES_BYTES
from sluiceway.segments import Keyring, LockedError
from sluiceway.segments.shelf import QUEUE, Shelf, TwiceError, shelves

__all__ = ["add_arguments", "execute"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `queue`."""
    parser.add_argument(
        "action", choices=list(_ACTIONS),
        help="list: each queue and dead-letter store with what is in it; show: its records; "
        "replay: dead letters go back to their queue, or what is in it to that of --to; purge: delete what is in it",
    )  # fmt: skip
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="which, as `list` calls them; purge needs them, for the others all are meant",
    )
    parser.add_argument("--to", metavar="NAME", help="replay: the queue into which it goes, instead of its own")
    parser.add_argument("--directory", type=Path, help="the directory of file_storage, instead of --config")
    parser.add_argument(
        "--key", action="append", default=[], metavar="ID=SOURCE",
        help="with --directory: a key of its encryption, SOURCE being env:NAME or file:PATH",
    )  # fmt: skip
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="show: so many records of each (default 20)")
    parser.add_argument("--payload", action="store_true", help="show: the telemetry itself, as OTLP JSON, a line each")
    parser.add_argument("--yes", action="store_true", help="purge: do not ask")
    add_source_arguments(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Do it. Raises `ConfigError` where no such queue is there, or nothing can be read."""
    try:
        found = _found(arguments)
        return _ACTIONS[arguments.action](_chosen(found, arguments.names), arguments, found)
    except OSError as error:
        raise ConfigError(f"{error.filename or arguments.action}: {error.strerror}") from None


def _found(arguments: argparse.Namespace) -> list[Shelf]:
    """All there are. Of a name that several directories have, each goes by its whole path."""
    places = {directory.resolve(): (directory, keyring) for directory, keyring in _places(arguments)}
    found = [shelf for directory, keyring in places.values() for shelf in shelves(directory, keyring)]
    several = {name for name, number in Counter(shelf.name for shelf in found).items() if number > 1}
    for shelf in found:
        if shelf.name in several:
            shelf.name = str(shelf.folder)
    return found


def _chosen(found: list[Shelf], names: list[str]) -> list[Shelf]:
    """Those that are named, or all where none is."""
    known = {shelf.name: shelf for shelf in found}
    for name in names:
        if name not in known:
            raise ConfigError(f'there is no "{name}"; there are: {", ".join(known) or "none"}')
    return [known[name] for name in names] if names else found


def _places(arguments: argparse.Namespace) -> Iterator[tuple[Path, Keyring | None]]:
    """The directories, each with its keys."""
    from sluiceway.extensions.file_storage import FileStorageConfig, keyring_of

    if arguments.directory is not None:
        pairs = [given.partition("=") for given in arguments.key]
        keys = {id: read_key(source) for id, _, source in pairs}
        for id, key in keys.items():
            if len(key) != AES_BYTES:
                raise ConfigError(f"--key: {id} has {len(key)} bytes, not {AES_BYTES}")
        if arguments.config:
            raise ConfigError("--directory and --config say the same: give one of them")
        if not arguments.directory.is_dir():
            raise ConfigError(f"there is no directory {arguments.directory}")
        yield arguments.directory, Keyring(keys) if keys else None
        return
    if not arguments.config:
        raise ConfigError("say where: --config with the collector's files, or --directory of file_storage")
    storages = [entry.settings for entry in read_config(arguments).extensions.values()]
    chosen = [settings for settings in storages if isinstance(settings, FileStorageConfig)]
    if not chosen:
        raise ConfigError("the configuration has no extension file_storage")
    for settings in chosen:
        if not Path(settings.directory).is_dir():
            raise ConfigError(f"there is no directory {settings.directory}")
        yield Path(settings.directory), keyring_of(settings)


def _used(arguments: argparse.Namespace) -> set[Path] | None:
    """The queues that exporters of the configuration have; None where there is no configuration."""
    from sluiceway.component import Context, Kind
    from sluiceway.extensions.file_storage import FileStorage, FileStorageConfig

    if not arguments.config:
        return None
    config, used = read_config(arguments), set()
    for pipeline in config.pipelines.values():
        for exporter in (config.exporters[id] for id in pipeline.exporters if id in config.exporters):
            queue = getattr(exporter.settings, "sending_queue", None)
            named = config.extensions.get(queue.storage or "") if queue else None
            if named is not None and isinstance(named.settings, FileStorageConfig):
                storage = FileStorage(named.settings, Context(named.id, Kind.EXTENSION))
                used.add(storage.log(Context(exporter.id, Kind.EXPORTER), f"{pipeline.signal.value}.queue").folder)
    return used


def _list(found: list[Shelf], arguments: argparse.Namespace, _: list[Shelf]) -> int:
    used = _used(arguments)
    rows = [("name", "requests", "items", "bytes", "oldest", "files", "state")]
    for shelf in found:
        totals = shelf.totals()
        states = ["in use"] if shelf.is_in_use() else []
        if shelf.unreadable:
            states.append(f"{len(shelf.unreadable)} files cannot be read")
        if used is not None and totals.records and shelf.folder.with_suffix(QUEUE) not in used:
            states.append("no exporter has it")
        oldest = _moment(totals.oldest) if totals.oldest else "-"
        numbers = (f"{totals.records:,}", f"{totals.items:,}", f"{totals.bytes:,}")
        rows.append((shelf.name, *numbers, oldest, str(len(shelf.segments)), ", ".join(states)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    _tell(found)
    if any("no exporter" in row[-1] for row in rows):
        print(_ABANDONED, file=sys.stderr)
    return 0


def _each(found: list[Shelf], do: Callable[[Shelf], str]) -> int:
    """Do something with each, and say what it says; one that fails does not keep it from the others. The exit code."""
    failures = 0
    for shelf in found:
        try:
            print(f"{shelf.name}: {do(shelf)}")
        except OSError as error:
            failures += 1
            print(f"{shelf.name}: {_why(error)}", file=sys.stderr)
    return max(_tell(found), int(failures > 0))


def _why(error: OSError) -> str:
    if isinstance(error, LockedError):
        return f"{error.strerror}; stop it first"
    text = f"{error.filename}: {error.strerror}" if error.filename else f"{error.strerror}"
    if isinstance(error, TwiceError):
        return f"it went there, and could not be deleted here, so that another replay would send it twice: {text}"
    return text


def _tell(found: list[Shelf]) -> int:
    """Say what could not be read; the exit code."""
    texts = [f"{shelf.name}: {text}" for shelf in found for text in shelf.unreadable]
    texts += [
        f"{shelf.name}: {name} is damaged, and now in quarantine" for shelf in found for name in shelf.quarantined
    ]
    for text in texts:
        print(text, file=sys.stderr)
    return int(bool(texts))


def _show(found: list[Shelf], arguments: argparse.Namespace, _: list[Shelf]) -> int:
    signals = {signal.value for signal in Signal}
    unknown = [shelf.name for shelf in found if arguments.payload and shelf.signal not in signals]
    if unknown:
        raise ConfigError(f"{unknown[0]}: its name does not end with a signal, so that nobody knows what is in it")
    for shelf in found:
        for number, record in enumerate(shelf.records()):
            if number == arguments.limit:
                print(f"{shelf.name}: and more; see --limit", file=sys.stderr)
                break
            if arguments.payload:
                print(encode(Signal(shelf.signal), record.payload).decode())
                continue
            told = {
                "store": shelf.name, "accepted": _moment(record.seconds), "items": record.items,
                "bytes": record.weight, "pipelines": dict(record.shares), **record.notes,
            }  # fmt: skip
            print(orjson.dumps(told).decode())
    return _tell(found)


def _replay(found: list[Shelf], arguments: argparse.Namespace, known: list[Shelf]) -> int:
    if arguments.to:
        return _move(found, arguments, known)
    letters = [shelf for shelf in found if shelf.is_dead]
    if found and not letters and arguments.names:
        raise ConfigError(f"{found[0].name} is a queue, whose exporter sends it: --to NAME moves it to another queue")
    if not letters:
        raise ConfigError("only dead letters (.dead) can be replayed, and there are none")
    return _each(letters, lambda shelf: _told(*shelf.replay(), "back to the queue"))


def _move(found: list[Shelf], arguments: argparse.Namespace, known: list[Shelf]) -> int:
    """Put what is named into another queue."""
    (into,) = _chosen(known, [arguments.to])
    if not arguments.names:
        raise ConfigError(f"say what is to go to {into.name}: list tells the names")
    for shelf in found:
        if into.is_dead or shelf is into or shelf.signal != into.signal:
            raise ConfigError(f"{shelf.name} cannot go to {into.name}: that must be another queue of {shelf.signal}")
    return _each(found, lambda shelf: _told(*shelf.replay(into), f"to {into.name}"))


def _told(records: int, items: int, where: str) -> str:
    return f"{items:,} items of {records:,} records go {where}"


def _purge(found: list[Shelf], arguments: argparse.Namespace, _: list[Shelf]) -> int:
    if not arguments.names:
        raise ConfigError("say which are to be deleted: list tells their names")
    if not arguments.yes and not sys.stdin.isatty():
        raise ConfigError("nobody can be asked here: --yes deletes without asking")

    def purge(shelf: Shelf) -> str:
        items = shelf.totals().items
        if not shelf.segments and not shelf.unreadable:
            return "there is nothing in it"
        if not arguments.yes:
            answer = input(f"delete {items:,} items of {shelf.name} for good? [y/N] ")
            if answer.strip().lower() not in ("y", "yes"):
                return "nothing was deleted"
        shelf.purge()
        return f"{items:,} items deleted"

    return _each(found, purge)


_ABANDONED = """What no exporter of the configuration has is not sent. An exporter of that name goes on with it;
`queue replay NAME --to OTHER` moves it to another one's queue, and `queue purge NAME` deletes it."""

_ACTIONS: Mapping[str, Callable[[list[Shelf], argparse.Namespace, list[Shelf]], int]] = {
    "list": _list,
    "show": _show,
    "replay": _replay,
    "purge": _purge,
}


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
