"""Ctrl-C, and a scheduler's SIGTERM, end a script with a sentence instead of a traceback: import this first."""

import signal
import sys
from types import TracebackType


def _report(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print(str(error) or "Interrupted", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)


sys.excepthook = _report
signal.signal(signal.SIGTERM, signal.default_int_handler)
