"""What the README, the quickstart and the examples promise, run as a reader would run it."""

import ast
import inspect
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sluiceway.service import Collector
from tests.ports import free_port

ROOT = Path(__file__).parent.parent
SECRETS = ("ada@example.com", "hunter2", "s3cret")
BALANCES = "balances: accepted = delivered + dropped + held"


def blocks(page: str, language: str) -> list[str]:
    """The code of one language in a page."""
    return re.findall(rf"```{language}(?: file=\S+)?\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def test_the_quickstart_example() -> None:
    """It ends by itself, its summary balances, and what it prints has the data, this machine's too, but no secrets."""
    done = subprocess.run(
        [sys.executable, "examples/quickstart.py"], cwd=ROOT, check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert all(text in done.stdout for text in ("POST /orders", "order placed", "orders", "tenant.id: Str(acme)"))
    assert "system.memory.usage" in done.stdout
    assert not [secret for secret in SECRETS if secret in done.stdout + done.stderr]
    assert re.search(r"traces +debug +2 +0 +2 +0 +0\n", done.stderr)
    assert done.stderr.endswith(f"{BALANCES}\n")


def test_the_quickstart_page(tmp_path: Path) -> None:
    """The page's file starts, the page's program sends, and its span arrives without the password."""
    file, port = tmp_path / "collector.yaml", free_port()
    file.write_text(blocks("docs/quickstart.md", "yaml")[0])
    sets = [
        f"receivers.otlp.protocols={{grpc: {{endpoint: 'localhost:{port}'}}}}",
        "service.telemetry.metrics.level=none",
    ]
    command = [sys.executable, "-m", "sluiceway", "run", "--config", str(file), *(f"--set={text}" for text in sets)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as collector:
        assert any("Everything is ready" in line for line in collector.stderr or ())
        subprocess.run(
            [sys.executable, "-c", blocks("docs/quickstart.md", "python")[0]],
            env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://localhost:{port}"}, check=True, timeout=60,
        )  # fmt: skip
        collector.send_signal(signal.SIGTERM)
        shown, log = collector.communicate(timeout=60)
    assert "POST /orders" in shown
    assert "currency: Str(EUR)" in shown
    assert "password" not in shown
    assert log.endswith(f"{BALANCES}\n")


async def test_the_python_in_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    """The README's program runs, given the text of a configuration, and prints the balances."""
    (source,) = blocks("README.md", "python")
    text = """
        receivers: {feed: {component: sluiceway.testing:Feeder}}
        exporters: {memory: {component: sluiceway.testing:MemorySink}}
        service:
          telemetry: {metrics: {level: none}}
          pipelines: {logs: {receivers: [feed], exporters: [memory]}}
    """
    code = compile(source, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    names = {"text": inspect.cleandoc(text)}
    await eval(code, names)
    assert isinstance(names["collector"], Collector)
    assert "pipeline='logs'" in capsys.readouterr().out


def test_the_test_in_writing_a_component(tmp_path: Path) -> None:
    """The page's test of its own processor passes."""
    for name, text in re.findall(
        r"```python file=(\S+)\n(.*?)```", (ROOT / "docs/writing-a-component.md").read_text(), re.DOTALL
    ):
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_drop_small.py"]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60)
    assert "1 passed" in done.stdout
