"""Where our own log lines go: terminal, files, and an OTLP backend."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from sluiceway.errors import ConfigError, Problem
from sluiceway.telemetry.background import LAST_PUSH, call_within
from sluiceway.telemetry.logs import ConsoleLines, JsonLines, Sampler, fields_of, level_number

if TYPE_CHECKING:
    from opentelemetry._logs import Logger

    from sluiceway.config.telemetry import LogsConfig
    from sluiceway.config.telemetry_export import Processor

__all__ = ["LogOutputs", "OtlpLines", "open_output"]

_log = logging.getLogger(__name__)


class LogOutputs:
    """Takes over Python's logging while it is entered, as `service::telemetry::logs` says, and gives it back.

    Ours is logged from the configured level on, that of libraries from `warn` on. A program that embeds a collector
    has its own logging and does not need this. Entering raises `ConfigError` when a file cannot be opened.
    """

    def __init__(self, config: LogsConfig, resource: Mapping[str, str] | None = None) -> None:
        self._config = config
        self._resource = dict(resource or {})
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            outputs: list[logging.Handler] = [self._lines(undo, path) for path in self._config.output_paths]
            outputs += [self._otlp_lines(undo, processor) for processor in self._config.processors]
            self._sample(outputs)
            root, ours = logging.getLogger(), logging.getLogger("sluiceway")
            # Given back first, before the files are closed.
            undo.callback(_restore, {logger: (logger.handlers, logger.level) for logger in (root, ours)})
            root.handlers = outputs
            ours.setLevel(level_number(self._config.level))
            root.setLevel(max(ours.level, logging.WARNING))
            self._undo = undo.pop_all()
        self._warn_of_ignored()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def _warn_of_ignored(self) -> None:
        if self._config.development:
            _log.warning("service::telemetry::logs::development is accepted and changes nothing")
        if self._config.error_output_paths != ("stderr",):
            _log.warning("service::telemetry::logs::error_output_paths is accepted, but such errors go to stderr")

    def _lines(self, undo: ExitStack, path: str) -> logging.Handler:
        try:
            stream = open_output(path, undo)
        except OSError as error:
            text = f"cannot open log file {path!r}: {error.strerror}"
            raise ConfigError(Problem(text, "service::telemetry::logs::output_paths")) from error
        output = logging.StreamHandler(stream)
        shown = {"caller": not self._config.disable_caller, "stacktrace": not self._config.disable_stacktrace}
        if self._config.encoding == "console":
            colour = stream.isatty() and not os.environ.get("NO_COLOR")
            output.setFormatter(ConsoleLines(self._config.initial_fields, **shown, colour=colour))
        else:
            resource = {} if self._config.disable_zap_resource else {"resource": self._resource}
            output.setFormatter(JsonLines(resource | dict(self._config.initial_fields), **shown))
        return output

    def _otlp_lines(self, undo: ExitStack, processor: Processor) -> logging.Handler:
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk.resources import Resource

        from sluiceway.telemetry.push import log_processor

        provider = LoggerProvider(Resource(dict(self._resource)), shutdown_on_exit=False)
        undo.callback(call_within, provider.shutdown, LAST_PUSH)
        provider.add_log_record_processor(log_processor(processor))
        return OtlpLines(provider.get_logger("sluiceway"), self._config.initial_fields)

    def _sample(self, outputs: list[logging.Handler]) -> None:
        sampling = self._config.sampling
        if sampling is not None:
            sampler = Sampler(sampling.tick, sampling.initial, sampling.thereafter)
            for output in outputs:
                output.addFilter(sampler)


class OtlpLines(logging.Handler):
    """Hands log records to an OpenTelemetry logger.

    The SDK's own are left out, and what `debug` shows of telemetry, which comes as a block: they could go round in
    circles.

    The SDK queues them, at most `max_queue_size`, and sends from a thread of its own.
    """

    def __init__(self, logger: Logger, fixed: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._logger = logger
        self._fixed = dict(fixed or {})

    def emit(self, record: logging.LogRecord) -> None:
        """Hand over one record."""
        from opentelemetry._logs import SeverityNumber

        if record.name.startswith(("opentelemetry", "grpc", "urllib3")) or hasattr(record, "block"):
            return
        severity = {10: SeverityNumber.DEBUG, 20: SeverityNumber.INFO, 30: SeverityNumber.WARN}
        attributes = self._fixed | fields_of(record, stacktrace=True)
        self._logger.emit(
            timestamp=int(record.created * 1e9),
            severity_number=severity.get(
                record.levelno, SeverityNumber.ERROR if record.levelno < logging.CRITICAL else SeverityNumber.FATAL
            ),
            severity_text=record.levelname,
            body=_encodable(record.getMessage()),
            attributes={
                key: value if isinstance(value, bool | int | float) else _encodable(str(value))
                for key, value in attributes.items()
            },
        )


def open_output(path: str, files: ExitStack) -> TextIO:
    """`stdout`, `stderr`, or a file to append to, which `files` will close. Raises `OSError`."""
    if path in {"stderr", "stdout"}:
        stream: TextIO = getattr(sys, path)
        return stream
    # Without a buffer: what could not be written was reported as lost, and must not turn up later.
    raw = files.enter_context(io.FileIO(path, "a"))
    return files.enter_context(io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True))


def _encodable(text: str) -> str:
    """The text without what protobuf refuses to encode, for which all records of a request would be lost."""
    return text.encode("utf-8", "backslashreplace").decode()


def _restore(before: Mapping[logging.Logger, tuple[list[logging.Handler], int]]) -> None:
    for logger, (handlers, level) in before.items():
        logger.handlers = handlers
        logger.setLevel(level)
