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
            outputs += [_otlp_lines(undo, processor, self._resource) for processor in self._config.processors]
            self._configure(outputs)
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
            output.setFormatter(ConsoleLines(**shown, colour=stream.isatty() and not os.environ.get("NO_COLOR")))
        else:
            fixed = {} if self._config.disable_zap_resource else {"resource": self._resource}
            output.setFormatter(JsonLines(fixed, **shown))
        return output

    def _configure(self, outputs: list[logging.Handler]) -> None:
        sampling = self._config.sampling
        sampler = Sampler(sampling.tick, sampling.initial, sampling.thereafter) if sampling is not None else None
        fields = dict(self._config.initial_fields)
        for output in outputs:
            if sampler is not None:
                output.addFilter(sampler)
            if fields:
                output.addFilter(lambda record: vars(record).update({**fields, **vars(record)}) or True)


class OtlpLines(logging.Handler):
    """Hands log records to an OpenTelemetry logger. The SDK's own are left out: they could go round in circles."""

    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Hand over one record."""
        from opentelemetry._logs import SeverityNumber

        if record.name.startswith(("opentelemetry", "grpc", "urllib3")):
            return
        severity = {10: SeverityNumber.DEBUG, 20: SeverityNumber.INFO, 30: SeverityNumber.WARN}
        attributes: dict[str, Any] = fields_of(record, stacktrace=True)
        self._logger.emit(
            timestamp=int(record.created * 1e9),
            severity_number=severity.get(
                record.levelno, SeverityNumber.ERROR if record.levelno < logging.CRITICAL else SeverityNumber.FATAL
            ),
            severity_text=record.levelname,
            body=record.getMessage(),
            attributes={
                key: value if isinstance(value, str | bool | int | float) else str(value)
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


def _otlp_lines(undo: ExitStack, processor: Processor, resource: Mapping[str, str]) -> OtlpLines:
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, SimpleLogRecordProcessor
    from opentelemetry.sdk.resources import Resource

    from sluiceway.telemetry.push import log_exporter

    provider = LoggerProvider(Resource(dict(resource)), shutdown_on_exit=False)
    undo.callback(provider.shutdown)
    if processor.batch is not None:
        batch = processor.batch
        provider.add_log_record_processor(
            BatchLogRecordProcessor(
                log_exporter(batch.exporter),
                schedule_delay_millis=batch.schedule_delay,
                max_export_batch_size=batch.max_export_batch_size,
                export_timeout_millis=batch.export_timeout,
                max_queue_size=batch.max_queue_size,
            )
        )
    elif processor.simple is not None:
        provider.add_log_record_processor(SimpleLogRecordProcessor(log_exporter(processor.simple.exporter)))
    return OtlpLines(provider.get_logger("sluiceway"))


def _restore(before: Mapping[logging.Logger, tuple[list[logging.Handler], int]]) -> None:
    for logger, (handlers, level) in before.items():
        logger.handlers = handlers
        logger.setLevel(level)
