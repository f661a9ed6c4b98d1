"""The `websockets` library against the appliance: `check HOST:PORT`, `serve HOST:PORT`, or `bench HOST PORT PATH`."""

import random
import socket
import sys
import threading
import time
from contextlib import ExitStack

from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect
from websockets.sync.server import serve

LENGTHS = (0, 1, 63, 64, 125, 126, 127, 1_000, 4_096, 65_535, 65_536, 300_000, 1_048_576)


def url(path=""):
    return f"ws://{ADDRESS}/_test/websocket{path}"


def opened(path="", **options):
    options.setdefault("subprotocols", ["other", "echo"])
    return connect(url(path), max_size=None, **options)


def messages():
    chance = random.Random(6455)
    for length in LENGTHS:
        yield "w\u00e9bsocket \U0001f30a " * (length // 16)
        yield chance.randbytes(length)
        yield bytes(length)


def converse(connection):
    for message in messages():
        connection.send(message)
        assert connection.recv() == message, len(message)
        # In fragments, with a ping in the middle.
        if len(message) > 10:
            cut = len(message) // 3
            pieces = (message[:cut], message[cut : 2 * cut], message[2 * cut :])

            def with_ping():
                yield pieces[0]
                connection.ping()
                yield from pieces[1:]

            connection.send(with_ping())
            assert connection.recv() == message, len(message)


def echoes_uncompressed():
    with opened(compression=None) as connection:
        assert connection.subprotocol == "echo"
        assert not connection.protocol.extensions
        converse(connection)


def echoes_compressed():
    with opened() as connection:
        assert connection.protocol.extensions, "the library offers windows of 12 bits"
        converse(connection)


def echoes_with_all_parameters():
    for path in ("", "?context"):
        for own, peers in ((False, False), (True, False), (False, True), (True, True)):
            for bits in (None, 9, 15):
                offer = ClientPerMessageDeflateFactory(
                    server_no_context_takeover=own,
                    client_no_context_takeover=peers,
                    server_max_window_bits=bits,
                    client_max_window_bits=bits or True,
                )
                with opened(path, extensions=[offer], compression=None) as connection:
                    assert connection.protocol.extensions
                    for _ in range(3):
                        for message in ("once more " * 1_000, "x" * 100_000, "", "short"):
                            connection.send(message)
                            assert connection.recv() == message


def pings_are_answered():
    with opened() as connection:
        waiting = [connection.ping(str(number)) for number in range(100)]
        assert all(pong.wait(10) for pong in waiting)


def closing():
    with opened() as connection:
        connection.send("close")
        try:
            connection.recv()
            raise AssertionError("a message after a close frame")
        except ConnectionClosedOK as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (1001, "as you wish")
    with opened() as connection:
        connection.send("panic")
        try:
            connection.recv()
            raise AssertionError("a message after a panic")
        except ConnectionClosedError as closed:
            assert closed.rcvd.code == 1011
    with opened() as connection:
        connection.send("too long " * 600_000)
        try:
            connection.recv()
            raise AssertionError("a message beyond the limit")
        except ConnectionClosedError as closed:
            assert closed.rcvd.code == 1009, closed


def other_origins_are_refused():
    try:
        with opened(origin="https://evil.example"):
            raise AssertionError("another site's page was let in")
    except InvalidStatus as refused:
        assert refused.response.status_code == 403
    with opened(origin=f"http://{ADDRESS}") as connection:
        connection.send("same origin")
        assert connection.recv() == "same origin"


def many_at_once():
    with ExitStack() as stack:
        connections = [stack.enter_context(opened()) for _ in range(200)]
        for number, connection in enumerate(connections):
            connection.send(f"to {number}")
        for number, connection in enumerate(connections):
            assert connection.recv() == f"to {number}"


def a_slow_reader_gets_all():
    with opened(compression=None) as connection:
        payload = bytes(500_000)

        def feed():
            for _ in range(10):
                connection.send(payload)

        feeding = threading.Thread(target=feed)
        feeding.start()
        for _ in range(10):
            time.sleep(0.02)
            assert len(connection.recv()) == len(payload)
        feeding.join()


def check():
    for case in (
        echoes_uncompressed,
        echoes_compressed,
        echoes_with_all_parameters,
        pings_are_answered,
        closing,
        other_origins_are_refused,
        many_at_once,
        a_slow_reader_gets_all,
    ):
        case()
        print(case.__name__, "ok", flush=True)
    print("all checked")


def bench():
    """Echoes in a second, by a client that does little itself: frames made beforehand, masked with zeros."""
    host, port, path = sys.argv[2:]
    for name, length, window in (("100 bytes, one at a time", 100, 1), ("100 bytes, 256 at a time", 100, 256), ("64 KB, 4 at a time", 65_000, 4)):
        with socket.create_connection((host, int(port))) as raw:
            raw.sendall(HANDSHAKE % path.encode())
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += raw.recv(1)
            assert b" 101 " in head, head
            size = bytes([0x80 | length]) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
            frames = (b"\x82" + size + bytes(4) + bytes(length)) * window
            echoes = (len(frames) // window - 4) * window
            count, start = 0, time.perf_counter()
            while time.perf_counter() - start < 3:
                raw.sendall(frames)
                left = echoes
                while left:
                    left -= len(raw.recv(min(left, 1 << 20)))
                count += window
            print(f"{name}: {count / (time.perf_counter() - start):.0f} echoes/s", flush=True)


HANDSHAKE = (
    b"GET %s HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: echo\r\n\r\n"
)


def echo(connection):
    for message in connection:
        connection.send(message)


def main():
    if sys.argv[1] == "serve":
        host, port = ADDRESS.rsplit(":", 1)
        with serve(echo, host, int(port), subprotocols=["echo"], max_size=None) as server:
            server.serve_forever()
    elif sys.argv[1] == "bench":
        bench()
    else:
        check()


ADDRESS = sys.argv[2]
main()
