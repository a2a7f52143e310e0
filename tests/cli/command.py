"""The command in a process of its own, and a configuration for it."""

import subprocess
import sys

GOOD = """
receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:0"}}}}
exporters: {debug: {verbosity: basic}}
extensions: {bearertokenauth: {token: hush-hush}}
service:
  telemetry: {metrics: {level: none}}
  extensions: [bearertokenauth]
  pipelines: {traces: {receivers: [otlp], exporters: [debug]}}
"""


def sluice(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "sluiceway", *arguments], check=False, capture_output=True, text=True, timeout=60
    )
