"""Transports that carry opaque bytes, as many as a row's payload, from forked producers to one consumer.

Transports are no loggers: they encode nothing and write no file. Each is used in its fastest plain way:

- `multiprocessing.Queue`: as it is. It pickles, and sends in a thread of each producer;
- `multiprocessing.Pipe`: one pipe for all producers, with a lock around `send_bytes`. One pipe for each producer, with
  epoll or a thread for each in the consumer, carried a quarter less;
- `faster-fifo`: 64 MiB; `put`, because a log call is one row, and `get_many`; raw bytes. With pickling it carried half
  as much;
- `pyzmq`: PUSH to PULL over ipc://, with the default high-water marks. A producer that closes its socket while the
  consumer is behind loses the messages that the kernel still holds (seen: 876 of 40,000). So all producers stay until
  everything has arrived.

The consumer counts messages. If none arrives for `PATIENCE_SECS`, the missing ones are lost.
"""

from __future__ import annotations

import importlib
import queue
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from benchmarks.producers import Produced
from benchmarks.workloads import PAYLOAD_BYTES, Job

__all__ = ["Transport", "consume", "load", "transport"]

PATIENCE_SECS = 20.0
"""Seconds without a message after which the consumer gives up."""
FIFO_BYTES = 64 << 20


class Transport(Protocol):
    """A transport, created in the consumer before it forks the producers."""

    def sender(self) -> Callable[[bytes], None]:
        """Return the function that sends one message. Called in a producer."""

    def finish(self) -> None:
        """Release a producer's side after everything has arrived. Called in a producer."""

    def receive(self) -> list[bytes]:
        """Return at least one message, or none after `PATIENCE_SECS`. Called in the consumer."""

    def close(self) -> None:
        """Release the consumer's side. Called in the consumer, after the producers have ended."""


def transport(carrier: str, context: Any, directory: Path) -> Transport:
    """Create the transport of a carrier."""
    makers: dict[str, Callable[[], Transport]] = {
        "queue": lambda: _Queue(context),
        "pipe": lambda: _Pipe(context),
        "faster-fifo": _FasterFifo,
        "zeromq": lambda: _ZeroMq(f"ipc://{directory}/zeromq"),
    }
    return makers[carrier]()


def load(transport: Transport, job: Job, gate: Connection) -> None:
    """Send the messages of one worker, and stay until they have arrived. Runs in the worker."""
    send, message = transport.sender(), bytes(PAYLOAD_BYTES[job.kind])
    for _ in range(job.warm_rows):
        send(message)
    gate.send("ready")
    gate.recv()
    cpu, begin = time.process_time(), time.monotonic_ns()
    for _ in range(job.rows):
        send(message)
    gate.recv()
    transport.finish()
    gate.send(Produced(begin, time.process_time() - cpu, 0))


def consume(transport: Transport, messages: int) -> int:
    """Receive up to so many messages, until no more arrive, and return the number received."""
    received = 0
    while received < messages:
        taken = transport.receive()
        if not taken:
            break
        received += len(taken)
    return received


class _Queue:
    def __init__(self, context: Any) -> None:
        self._queue = context.Queue()

    def sender(self) -> Callable[[bytes], None]:
        put: Callable[[bytes], None] = self._queue.put
        return put

    def finish(self) -> None:
        self._queue.close()
        self._queue.join_thread()

    def receive(self) -> list[bytes]:
        try:
            return [self._queue.get(timeout=PATIENCE_SECS)]
        except queue.Empty:
            return []

    def close(self) -> None:
        self._queue.close()


class _Pipe:
    def __init__(self, context: Any) -> None:
        self._reader, self._writer = context.Pipe(duplex=False)
        self._lock = context.Lock()

    def sender(self) -> Callable[[bytes], None]:
        lock, send_bytes = self._lock, self._writer.send_bytes

        def send(message: bytes) -> None:
            with lock:
                send_bytes(message)

        return send

    def finish(self) -> None:
        pass

    def receive(self) -> list[bytes]:
        # A poll before each message would cost more than the message. `rounds` ends a round that waits for ever.
        return [self._reader.recv_bytes()]

    def close(self) -> None:
        self._reader.close()
        self._writer.close()


class _FasterFifo:
    def __init__(self) -> None:
        module = importlib.import_module("faster_fifo")
        self._queue = module.Queue(max_size_bytes=FIFO_BYTES, loads=bytes, dumps=_unpickled)

    def sender(self) -> Callable[[bytes], None]:
        put: Callable[[bytes], None] = self._queue.put
        return put

    def finish(self) -> None:
        pass

    def receive(self) -> list[bytes]:
        try:
            messages: list[bytes] = self._queue.get_many(timeout=PATIENCE_SECS)
        except queue.Empty:
            return []
        return messages

    def close(self) -> None:
        self._queue.close()


class _ZeroMq:
    def __init__(self, address: str) -> None:
        self._address = address
        self._zmq = importlib.import_module("zmq")
        self._puller: Any = None
        self._context: Any = None

    def sender(self) -> Callable[[bytes], None]:
        self._context = self._zmq.Context()
        self._pusher = self._context.socket(self._zmq.PUSH)
        self._pusher.connect(self._address)
        send: Callable[[bytes], None] = self._pusher.send
        return send

    def finish(self) -> None:
        self._pusher.close()
        self._context.term()

    def receive(self) -> list[bytes]:
        if self._puller is None:  # created after the fork, which a context does not survive
            self._context = self._zmq.Context()
            self._puller = self._context.socket(self._zmq.PULL)
            self._puller.setsockopt(self._zmq.RCVTIMEO, int(PATIENCE_SECS * 1000))
            self._puller.bind(self._address)
        try:
            return [self._puller.recv()]
        except self._zmq.Again:
            return []

    def close(self) -> None:
        if self._puller is not None:
            self._puller.close()
            self._context.term()


def _unpickled(message: bytes) -> bytes:
    return message
