"""A proxy between a sink and its server that counts what is sent and cuts connections."""

from __future__ import annotations

import socket
import threading
from types import TracebackType

__all__ = ["CuttingProxy"]

BLOCK_BYTES = 1 << 14


class CuttingProxy:
    """Forwards connections to `port` of the loopback interface.

    Parameters
    ----------
    port
        Where the server listens.
    cut_after
        Cut the first connection when so many bytes have been sent to the server, and forward no other; None: do not.
    """

    def __init__(self, port: int, cut_after: int | None = None) -> None:
        self._server_port = port
        self._cut_after = cut_after
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"rerun+http://127.0.0.1:{self.port}/proxy"
        self.sent_bytes: list[int] = []
        """Bytes sent to the server, by connection."""
        self._is_refusing = False
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> CuttingProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()  # a connection that it has just accepted is cut, too
        self.cut()
        for thread in self._threads:
            thread.join()

    def cut(self) -> None:
        """Cut all connections."""
        while self._open:
            one = self._open.pop()
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the other side was faster

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_refusing:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._server_port))
            except OSError:
                client.close()
                continue
            number = len(self.sent_bytes)
            self.sent_bytes.append(0)
            self._open += [client, server]
            for source, sink, counts in ((client, server, number), (server, client, None)):
                thread = threading.Thread(target=self._forward, args=(source, sink, counts), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _forward(self, source: socket.socket, sink: socket.socket, number: int | None) -> None:
        try:
            while block := source.recv(BLOCK_BYTES):
                if number is not None:
                    if number == 0 and self._cut_after is not None:
                        block = block[: max(0, self._cut_after - self.sent_bytes[0])]
                    self.sent_bytes[number] += len(block)
                sink.sendall(block)
                if number == 0 and self.sent_bytes[0] == self._cut_after:
                    self._is_refusing = True
                    break
        except OSError:
            pass
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        if number is None:
            sink.close()
            source.close()
