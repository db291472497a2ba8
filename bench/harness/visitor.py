"""How the benchmark itself visits a contestant: single requests, stalled downloads, idle WebSockets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import os
import pathlib
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass

from .identity import HOST
from .processes import BenchError

# What the origin answers at `/`.
HELLO = b"hello"

# A request that takes longer will never be answered: the tunnel is stuck.
PATIENCE = 10.0

# WebSocket handshakes under way at a time; all at once would measure the backlog of the listener.
OPENING = 20


@dataclass(frozen=True)
class Site:
    """A public name, reachable on a loopback port. Without `authority`, certificates are not checked."""

    port: int
    authority: pathlib.Path | None
    host: str = HOST

    @property
    def url(self) -> str:
        """The URL of `/`."""
        return f"https://{self.host}:{self.port}/"

    def trust(self) -> ssl.SSLContext:
        """TLS settings of a visitor who trusts this site's CA and speaks HTTP/1.1."""
        context = ssl.create_default_context(cafile=self.authority)
        # Python 3.13 would refuse CAs without key usage; we test proxies, not certificates.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if self.authority is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["http/1.1"])
        return context

    @contextlib.contextmanager
    def connection(self, timeout: float = PATIENCE) -> Iterator[http.client.HTTPConnection]:
        """An open keep-alive connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.trust().wrap_socket(plain, server_hostname=self.host) as stream:
                connection = http.client.HTTPConnection(self.host, self.port)
                connection.sock = stream
                yield connection

    def answers(self) -> bool:
        """Whether `/` comes through from the origin."""
        # irp answers 404 for a name below a pattern until somebody has claimed it.
        not_yet = (OSError, http.client.HTTPException, BenchError)
        with contextlib.suppress(*not_yet), self.connection(2.0) as connection:
            return get(connection) == HELLO
        return False


def get(connection: http.client.HTTPConnection, path: str = "/") -> bytes:
    """The body of a successful answer; anything else raises."""
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise BenchError(f"{path} was answered with {response.status}: {body[:200]!r}")
    return body


def timed_get(site: Site, path: str = "/") -> float | None:
    """Milliseconds for one request on a fresh connection, or None when no answer came."""
    began = time.monotonic()
    try:
        with site.connection() as connection:
            get(connection, path)
    except (OSError, http.client.HTTPException):
        return None
    return (time.monotonic() - began) * 1000


@contextlib.contextmanager
def stalled_downloads(site: Site, count: int, size: int) -> Iterator[None]:
    """`count` visitors who ask for `size` bytes each, read the beginning and then nothing more."""
    with contextlib.ExitStack() as open_downloads:
        for _ in range(count):
            connection = open_downloads.enter_context(site.connection())
            connection.request("GET", f"/bytes/{size}")
            if connection.getresponse().read(1024) == b"":
                raise BenchError("a download ended before it could stall")
        yield


async def _open_websocket(site: Site, trust: ssl.SSLContext) -> asyncio.StreamWriter:
    """Opens a WebSocket and has one message echoed (RFC 6455)."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", site.port, ssl=trust, server_hostname=site.host
    )
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET /ws HTTP/1.1\r\nHost: {site.host}:{site.port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 101 " not in head.splitlines()[0]:
        raise BenchError(f"a WebSocket was answered with {head.splitlines()[0]!r}")
    mask, message = os.urandom(4), b"bench"
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(message))
    writer.write(bytes([0x81, 0x80 | len(message)]) + mask + masked)
    echoed = await reader.readexactly(2 + len(message))
    if echoed != bytes([0x81, len(message)]) + message:
        raise BenchError(f"a WebSocket sent back {echoed!r}")
    return writer


def with_websockets(site: Site, count: int, settle: float, measure) -> object:
    """What `measure()` returns while `count` idle WebSockets are open, `settle` seconds after the last."""

    async def run() -> object:
        trust, gate = site.trust(), asyncio.Semaphore(OPENING)

        async def one() -> asyncio.StreamWriter:
            async with gate:
                return await asyncio.wait_for(_open_websocket(site, trust), PATIENCE)

        results = await asyncio.gather(*(one() for _ in range(count)), return_exceptions=True)
        open_sockets = [result for result in results if isinstance(result, asyncio.StreamWriter)]
        try:
            failed = [result for result in results if isinstance(result, BaseException)]
            if failed:
                raise BenchError(
                    f"{len(failed)} of {count} WebSockets did not open; the first: {failed[0]!r}"
                )
            await asyncio.sleep(settle)
            return measure()
        finally:
            for writer in open_sockets:
                writer.transport.abort()

    return asyncio.run(run())
