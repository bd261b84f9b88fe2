"""A TLS proxy before a server, as a web server is one, with a certificate of its own."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import threading
from pathlib import Path
from types import TracebackType

from tests.harness.requirements import need_field

__all__ = ["TlsProxy"]

BLOCK_BYTES = 1 << 16
NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"


class TlsProxy:
    """Accepts TLS on a port of the loopback interface, and forwards what it decrypts to `server_port`.

    A program with these variables in its `environment` trusts the certificate, which lies in `directory`.
    """

    def __init__(self, server_port: int, directory: Path) -> None:
        certificate, key = directory / "certificate.pem", directory / "key.pem"
        subprocess.run(
            [
                *(need_field("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
                *("-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost"),
                *("-addext", NAMES),
            ],
            check=True,
            capture_output=True,
        )
        self.environment = {"SSL_CERT_FILE": str(certificate)}
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._context.set_alpn_protocols(["h2"])
        self._server_port = server_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> TlsProxy:
        self._thread.start()
        listening = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context), self._loop
        )
        self._server = listening.result()
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"rerun+https://localhost:{port}/proxy"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        await asyncio.gather(_forward(reader, server_writer), _forward(server_reader, writer))


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while block := await reader.read(BLOCK_BYTES):
            writer.write(block)
            await writer.drain()
    except OSError:
        pass  # the other side has gone
    finally:
        writer.close()
