"""Log lines as text for people or as JSON for machines, written by a thread so that no event loop waits for a reader.

Who logs about a request says so with ``extra=cse.log_context.about(request)``; other requests cost nothing.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import TextIO

import orjson

FORMATS = ("text", "json")
#: what a log call may add about the request it is for
CONTEXT = ("request_id", "originator", "trace_id")

#: lines that wait for a slow reader; what comes then is dropped and counted
_MOST_WAITING = 10_000
#: how long the end of a process waits for its last lines to be taken, in seconds
_PATIENCE_S = 2.0
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029]")
_SECRETS = (
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+@", re.IGNORECASE), r"\1***@"),
    (re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE), r"\1 ***"),
    (re.compile(r"\b((?:access_|refresh_)?token|password|secret)=[^\s&\"']+", re.IGNORECASE), r"\1=***"),
)


class TextFormatter(logging.Formatter):
    """One line for people, with the fields of ``CONTEXT`` at its end; a traceback follows.

    Args:
        part: name of this process.
        trace_id: gives the identifier of the trace that runs, "" for none.
    """

    def __init__(self, part: str, trace_id: Callable[[], str]) -> None:
        super().__init__(f"%(asctime)s {part} %(levelname)s %(name)s: %(message)s")
        self._trace_id = trace_id

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line; control characters in it, which may be a client's, are escaped."""
        line = super().formatMessage(record)
        about = context_of(record, self._trace_id)
        if about:
            line += " [" + " ".join(f"{name}={value}" for name, value in about.items()) + "]"
        return _CONTROL.sub(_escaped, without_secrets(line.replace("\n", "\\n").replace("\t", "\\t")))

    def formatException(self, ei: object) -> str:
        """The traceback, without secrets."""
        return without_secrets(super().formatException(ei))  # type: ignore[arg-type]


class JsonFormatter(logging.Formatter):
    """One JSON object: ``time`` (RFC 3339, UTC), ``level``, ``part``, ``logger``, ``message``, what is in ``CONTEXT``
    when it is known, and ``exception``.

    Args:
        part: name of this process.
        trace_id: gives the identifier of the trace that runs, "" for none.
    """

    def __init__(self, part: str, trace_id: Callable[[], str]) -> None:
        super().__init__()
        self._part, self._trace_id = part, trace_id

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        instant = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, str] = {
            "time": instant.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "part": self._part,
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
            **context_of(record, self._trace_id),
        }
        if record.exc_info:
            line["exception"] = without_secrets(self.formatException(record.exc_info))
        return orjson.dumps({name: _storable(value) for name, value in line.items()}).decode()


class BackgroundHandler(logging.Handler):
    """Formats where it is called and writes in a thread of its own, which starts with the first line.

    Args:
        stream: where lines go.
        most_waiting: lines that may wait for a slow reader.
    """

    def __init__(self, stream: TextIO, most_waiting: int = _MOST_WAITING) -> None:
        super().__init__()
        self._stream, self._most_waiting = stream, most_waiting
        #: lines dropped because the reader was too slow
        self.dropped = 0
        self._told = 0
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        """Begin anew; after a fork the thread is in the other process."""
        self._lines: SimpleQueue[str | threading.Event] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a line to the thread; never waits."""
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
            return
        if self._lines.qsize() >= self._most_waiting:
            self.dropped += 1
            return
        self._lines.put(line)
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, args=(self._lines,), name="onemec-log", daemon=True)
            self._thread.start()

    def flush(self) -> None:
        """Wait a little until what was logged so far is written; at the end of the process logging calls this."""
        if self._thread is not None and self._thread.is_alive():
            written = threading.Event()
            self._lines.put(written)
            written.wait(_PATIENCE_S)

    def _write(self, lines: SimpleQueue[str | threading.Event]) -> None:
        while True:
            line = lines.get()
            try:
                if isinstance(line, threading.Event):
                    self._tell_dropped()
                    self._stream.flush()
                    line.set()
                    continue
                self._stream.write(line + "\n")
                if lines.empty():
                    self._tell_dropped()
                    self._stream.flush()
            except (OSError, ValueError):  # nobody reads any more, or the stream is closed
                if isinstance(line, threading.Event):
                    line.set()

    def _tell_dropped(self) -> None:
        if self.dropped > self._told:
            number, self._told = self.dropped - self._told, self.dropped
            record = logging.LogRecord("onemec.logs", logging.WARNING, "", 0, "%d lines were dropped", (number,), None)
            self._stream.write(self.format(record) + "\n")


def context_of(record: logging.LogRecord, trace_id: Callable[[], str]) -> dict[str, str]:
    """What a log call said about its request, and the trace that runs."""
    about = {name: str(value) for name in CONTEXT if (value := getattr(record, name, None))}
    if "trace_id" not in about and (current := trace_id()):
        about["trace_id"] = current
    return about


def without_secrets(text: str) -> str:
    """A text with passwords in URLs, credentials of headers and tokens in queries made unreadable.

    Nothing should log them in the first place; this is for texts of others, such as exceptions of libraries.
    """
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _storable(text: str) -> str:
    """A text as JSON can hold it: without lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()


def set_up(
    level: str, part: str, layout: str, stream: TextIO, trace_id: Callable[[], str] = lambda: ""
) -> BackgroundHandler:
    """Send all log lines of this process to a stream.

    Args:
        level: what is logged at least.
        part: name of this process.
        layout: one of ``FORMATS``.
        stream: where to.
        trace_id: gives the identifier of the trace that runs, "" for none.
    """
    formatter = JsonFormatter(part, trace_id) if layout == "json" else TextFormatter(part, trace_id)
    formatter.converter = time.localtime
    handler = BackgroundHandler(stream)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    return handler
