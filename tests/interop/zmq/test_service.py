"""The appliance's ZeroMQ port against libzmq.

    pip install pyzmq cbor2
    python3 tests/interop/zmq/test_service.py HOST:PORT, or ipc://PATH

Ends with "all checked". Every wait has a deadline.
"""

import random
import socket as tcp
import sys
import zlib

import cbor2
import zmq

ENDPOINT = sys.argv[1] if "://" in sys.argv[1] else f"tcp://{sys.argv[1]}"
# How many connections there may be at once.
CONNECTIONS = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
DEADLINE_MS = 60_000
CONTEXT = zmq.Context(io_threads=1)
CONTEXT.setsockopt(zmq.MAX_SOCKETS, 4096)


def connected(kind, **options):
    socket = CONTEXT.socket(kind)
    socket.linger = 0
    socket.rcvtimeo = socket.sndtimeo = DEADLINE_MS
    for name, value in options.items():
        setattr(socket, name, value)
    socket.connect(ENDPOINT)
    return socket


def unpack(reply):
    """The mark and the object."""
    body = zlib.decompress(reply[1:]) if reply[:1] == b"z" else reply[1:]
    return reply[:1], cbor2.loads(body)


def ask(req, what, argument, mark=b"p"):
    body = cbor2.dumps({what: argument})
    req.send(mark + (zlib.compress(body, 1) if mark == b"z" else body))
    return unpack(req.recv())


def functions_answer_plain_and_compressed():
    with connected(zmq.REQ) as req:
        million = list(range(1, 1_000_001))
        for mark, expected in ((b"p", b"p"), (b"z", b"z"), (b"c", b"z")):
            assert ask(req, "echo", "", mark) == (expected, "")
            assert ask(req, "upper", "wässer", mark) == (expected, "WÄSSER")
            assert ask(req, "sum", [1, -2, 3], mark) == (expected, 2)
            assert ask(req, "sum", million, mark) == (expected, sum(million))
            assert ask(req, "reverse", million, mark) == (expected, million[::-1])


def messages_of_many_sizes():
    chance = random.Random(3)
    with connected(zmq.REQ) as req:
        for size in (0, 1, 253, 254, 255, 256, 65_535, 65_536, 1 << 20, 8 << 20):
            text = "".join(chance.choices("abcdefgh", k=64)) * (size // 64 + 1)
            assert ask(req, "echo", text[:size]) == (b"p", text[:size]), size


def bad_requests_end_their_call_only():
    good = zlib.compress(cbor2.dumps({"echo": "water"}))
    with connected(zmq.REQ) as req, connected(zmq.REQ) as other:
        lost = [it.get_monitor_socket(zmq.EVENT_DISCONNECTED) for it in (req, other)]
        for bad, why in (
            (b"", "prefix missing"),
            (b"?x", "unknown prefix byte 0x3f"),
            (b"zzz", "not valid zlib"),
            (b"z" + good[:-5], "input ends in the middle"),
            (b"z" + good + b"x", "bytes after the end"),
            (b"z" + zlib.compress(bytes(1 << 28), 9), "expands beyond the limit"),
            (b"p" + b"\x81" * 100_000, "cbor"),
            (b"p" + cbor2.dumps({"frobnicate": 1}), "cbor of another shape than expected"),
            (b"p" + cbor2.dumps({"sum": ["one"]}), "cbor of another shape than expected"),
        ):
            req.send(bad)
            mark, cause = unpack(req.recv())
            assert mark == b"e" and why in cause, (why, mark, cause)
            for caller in (req, other):
                assert ask(caller, "sum", [5]) == (b"p", 5)
        for monitor in lost:
            assert monitor.poll(0) == 0, "a connection ended"
            monitor.close()


def a_caller_that_reads_no_replies_holds_back_nobody_else():
    with connected(zmq.DEALER, rcvhwm=1) as greedy, connected(zmq.REQ) as other:
        greedy.sndtimeo = 200
        text = cbor2.dumps({"echo": "x" * 100_000})
        try:
            for _ in range(2000):
                greedy.send_multipart([b"", b"p" + text])
        except zmq.Again:
            pass
        for _ in range(20):
            assert ask(other, "sum", [5]) == (b"p", 5)


def a_dealer_has_many_requests_under_way():
    with connected(zmq.DEALER) as dealer:
        for number in range(1000):
            body = b"p" + cbor2.dumps({"sum": [number, 1]})
            dealer.send_multipart([number.to_bytes(4, "big"), b"", body])
        answers = {}
        for _ in range(1000):
            number, _, reply = dealer.recv_multipart()
            answers[int.from_bytes(number, "big")] = unpack(reply)[1]
        assert answers == {number: number + 1 for number in range(1000)}


def many_connections():
    sockets = [connected(zmq.REQ) for _ in range(CONNECTIONS)]
    for number, req in enumerate(sockets):
        req.send(b"p" + cbor2.dumps({"sum": [number]}))
    for number, req in enumerate(sockets):
        assert unpack(req.recv()) == (b"p", number)
    for req in sockets:
        req.close()


def raw_connection():
    scheme, _, address = ENDPOINT.partition("://")
    if scheme == "ipc":
        raw = tcp.socket(tcp.AF_UNIX)
        raw.connect(address)
        return raw
    host, _, port = address.rpartition(":")
    return tcp.create_connection((host, int(port)))


def garbage_ends_one_connection_and_no_other():
    chance = random.Random(11)
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x01NULL" + bytes(16 + 32)
    ready = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03REQ"
    with connected(zmq.REQ) as req:
        for attempt in range(100):
            with raw_connection() as raw:
                raw.sendall((b"", greeting, greeting + ready)[attempt % 3] + chance.randbytes(100))
            assert ask(req, "echo", "fine") == (b"p", "fine")


for check in (
    functions_answer_plain_and_compressed,
    messages_of_many_sizes,
    bad_requests_end_their_call_only,
    a_caller_that_reads_no_replies_holds_back_nobody_else,
    a_dealer_has_many_requests_under_way,
    many_connections,
    garbage_ends_one_connection_and_no_other,
):
    check()
    print(check.__name__, "ok", flush=True)
CONTEXT.destroy(linger=0)
print("all checked")
