"""What every server of this machine's loopback does alike: its port, whom it answers, when it ends."""

from __future__ import annotations

import re
import signal
import socket
import threading

from mechcot.core.errors import UsageError

_NAMES = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE)


def listening(port: int) -> tuple[socket.socket, str]:
    """A socket of the loopback and its address, `http://127.0.0.1:PORT`.

    Args:
        port: 0: any free one.

    Raises:
        UsageError: the port cannot be used.
    """
    try:
        opened = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise UsageError(
            f"port {port} cannot be used: {error.strerror}. Name another with --port, or 0 for any"
        ) from error
    return opened, f"http://127.0.0.1:{opened.getsockname()[1]}"


def is_loopback(host: str) -> bool:
    """Whether a request's Host names the loopback; a page of another site that rebinds its name does not."""
    return _NAMES.fullmatch(host) is not None


def wait_for_end(thread: threading.Thread) -> None:
    """Wait until Ctrl-C (SIGINT) or SIGTERM comes, or the thread that serves has ended."""
    stop = threading.Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stop.set()) for number in signals]
    try:
        while thread.is_alive() and not stop.wait(1.0):
            pass
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
