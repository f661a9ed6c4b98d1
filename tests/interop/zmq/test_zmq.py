"""Interoperability with libzmq: every pattern and mechanism, binding and connecting on either side.

    pip install pyzmq cbor2
    python3 tests/interop/zmq/test_zmq.py PATH_OF_zmq-peer [-k PART_OF_A_NAME]
    python3 tests/interop/zmq/test_zmq.py --at HOST:PORT --here ADDRESS [-k PART_OF_A_NAME]

Our side is a process, or sockets in an appliance with debug endpoints, whose HTTP is at HOST:PORT
and which reaches this machine at ADDRESS; tests of what only a process can do are left out then.
Exit code 0 means that all passed. Every wait has a deadline; a failure prints the peer's output.
"""

import itertools
import os
import random
import signal
import socket as tcp
import subprocess
import sys
import tempfile
import threading
import time
import zlib

import cbor2
import zmq
import zmq.utils.monitor


def argument(name, default):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


PEER = sys.argv[1]
# Where the appliance is, if it is one; where our side is reached, and where it reaches libzmq.
APPLIANCE = argument("--at", "")
THERE = APPLIANCE.rsplit(":", 1)[0] or "127.0.0.1"
HERE = argument("--here", "127.0.0.1")
DEADLINE_S = 60
TESTS = []


def test(function):
    TESTS.append(function)
    return function


def of_a_process(function):
    """A test that kills, stops or measures our side, or of verbs that only zmq-peer has."""
    if not APPLIANCE:
        TESTS.append(function)
    return function


def free_port():
    with tcp.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


class Process:
    """Our side: a process. Used with `with`, it is ended at the end."""

    def __init__(self, *words):
        self.words = [str(word) for word in words]
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [PEER, *self.words], stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        self.expect("ready")

    def expect(self, word):
        lines = []
        reader = threading.Thread(target=lambda: lines.append(self.process.stdout.readline()))
        reader.daemon = True
        reader.start()
        reader.join(DEADLINE_S)
        line = lines[0].strip() if lines else "(nothing in time)"
        assert line.startswith(word), f"{self.words}: expected {word!r}, got {line!r}"
        return line

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def peak_bytes(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            line = next(line for line in status if line.startswith("VmHWM:"))
        return int(line.split()[1]) << 10

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.kill()
        if kind:
            self.log.seek(0)
            print(" ".join(self.words), self.log.read().decode()[-2000:], sep="\n")


class Trial:
    """Our side: sockets in the appliance. They end with the connection that asked for them."""

    def __init__(self, *words):
        self.words = " ".join(str(word) for word in words)
        host, port = APPLIANCE.rsplit(":", 1)
        self.flow = tcp.create_connection((host, int(port)), timeout=DEADLINE_S)
        self.lines = self.flow.makefile("rw", newline="\n")
        head = f"GET /_test/zmq HTTP/1.1\r\nHost: {host}\r\n"
        self.lines.write(f"{head}Connection: upgrade\r\nUpgrade: zmq-trial\r\n\r\n{self.words}\n")
        self.lines.flush()
        self.expect("HTTP/1.1 101")
        while self.lines.readline().strip():
            pass
        self.expect("ready")

    def expect(self, word):
        line = self.lines.readline().strip()
        assert line.startswith(word), f"{self.words}: expected {word!r}, got {line!r}"
        return line

    def kill(self):
        self.lines.close()
        self.flow.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


Peer = Trial if APPLIANCE else Process


class Sockets:
    """libzmq's side: closes what it made."""

    def __init__(self):
        self.context = zmq.Context(io_threads=1)
        self.context.setsockopt(zmq.MAX_SOCKETS, 4096)
        self.made = []

    def make(self, kind, binds, port, **options):
        socket = self.context.socket(kind)
        socket.linger = 0
        socket.rcvtimeo = socket.sndtimeo = DEADLINE_S * 1000
        for name, value in options.items():
            setattr(socket, name, value)
        socket.bind(f"tcp://*:{port}") if binds else socket.connect(f"tcp://{THERE}:{port}")
        self.made.append(socket)
        return socket

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.destroy(linger=0)


def place(peer_binds, port):
    """What our peer is told; libzmq does the other thing."""
    return ("bind", port) if peer_binds else ("connect", f"{HERE}:{port}")


def bodies():
    chance = random.Random(5)
    sizes = [0, 1, 2, 253, 254, 255, 256, 257, 8191, 8192, 65535, 65536, 1 << 20]
    for size in sizes:
        yield [chance.randbytes(size)]
    yield [b"one", b"", b"three", chance.randbytes(300), b""]
    yield [bytes([part % 256]) * part for part in range(500)]


@test
def req_talks_to_our_rep():
    for peer_binds in (True, False):
        with Sockets() as sockets:
            port = free_port()
            with Peer("echo", "rep", *place(peer_binds, port)):
                req = sockets.make(zmq.REQ, not peer_binds, port)
                for body in bodies():
                    req.send_multipart(body)
                    assert req.recv_multipart() == body


@test
def our_req_talks_to_rep_and_router():
    for peer_binds, kind in itertools.product((True, False), (zmq.REP, zmq.ROUTER)):
        for options in ((), ("relaxed", "correlate")):
            with Sockets() as sockets:
                port = free_port()
                rep = sockets.make(kind, not peer_binds, port)
                words = [*place(peer_binds, port), *options, "--", 50, 1000]
                with Peer("ask", "req", *words) as peer:
                    for _ in range(50):
                        rep.send_multipart(rep.recv_multipart())
                    assert peer.expect("ok 50 lost 0")


@test
def our_router_and_our_dealer_answer_a_dealer():
    for peer_binds, ours in itertools.product((True, False), ("router", "dealer")):
        with Sockets() as sockets:
            port = free_port()
            with Peer("echo", ours, *place(peer_binds, port)):
                dealer = sockets.make(zmq.DEALER, not peer_binds, port)
                for body in bodies():
                    dealer.send_multipart([b"call", b"", *body])
                    assert dealer.recv_multipart() == [b"call", b"", *body]


@test
def a_router_reaches_our_dealer_by_its_name():
    with Sockets() as sockets:
        port = free_port()
        router = sockets.make(zmq.ROUTER, True, port, router_mandatory=1)
        with Peer("echo", "dealer", "connect", f"{HERE}:{port}", "identity=ada"):
            end = time.monotonic() + DEADLINE_S
            while True:
                try:
                    router.send_multipart([b"ada", b"hello"])
                    break
                except zmq.ZMQError:
                    assert time.monotonic() < end, "not connected"
                    time.sleep(0.01)
            assert router.recv_multipart() == [b"ada", b"hello"]


@test
def our_router_reaches_a_dealer_by_its_name():
    with Sockets() as sockets:
        port = free_port()
        with Peer("echo", "router", "bind", port):
            dealer = sockets.make(zmq.DEALER, False, port, identity=b"grace")
            dealer.send_multipart([b"", b"x"])
            assert dealer.recv_multipart() == [b"", b"x"]


@test
def push_and_pull_carry_everything_in_order():
    for in_binds, out_binds in itertools.product((True, False), repeat=2):
        with Sockets() as sockets:
            into, out = free_port(), free_port()
            words = ["pull", *place(in_binds, into), "--", "push", *place(out_binds, out)]
            with Peer("bridge", *words):
                push = sockets.make(zmq.PUSH, not in_binds, into)
                pull = sockets.make(zmq.PULL, not out_binds, out)
                for body in bodies():
                    push.send_multipart(body)
                    assert pull.recv_multipart() == body
                for number in range(20000):
                    push.send(b"%d" % number)
                    if number >= 500:
                        assert pull.recv() == b"%d" % (number - 500)


@test
def pub_and_sub_filter_and_carry():
    for in_binds, out_binds in itertools.product((True, False), repeat=2):
        with Sockets() as sockets:
            into, out = free_port(), free_port()
            words = ["sub", *place(in_binds, into), "subscribe=a", "subscribe=b", "--"]
            with Peer("bridge", *words, "pub", *place(out_binds, out)):
                pub = sockets.make(zmq.XPUB, not in_binds, into)
                # Our SUB's subscriptions arrive.
                assert {pub.recv(), pub.recv()} == {b"\1a", b"\1b"}
                sub = sockets.make(zmq.SUB, not out_binds, out)
                sub.subscribe(b"a")
                sub.rcvtimeo = 100
                first = wait_for_first(pub, sub)
                sub.rcvtimeo = DEADLINE_S * 1000
                for topic in (b"c", b"b", b"axe"):
                    pub.send_multipart([topic, b"body"])
                assert recv_after(sub, first) == [b"axe", b"body"]


def wait_for_first(pub, sub):
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        pub.send_multipart([b"a?", b""])
        try:
            return sub.recv_multipart()
        except zmq.Again:
            pass
    raise AssertionError("no subscription in time")


def recv_after(sub, marker):
    while (got := sub.recv_multipart()) == marker:
        pass
    return got


@test
def xpub_hears_our_subscriptions_and_their_end():
    with Sockets() as sockets:
        port = free_port()
        xpub = sockets.make(zmq.XPUB, True, port)
        with Peer("drain", "sub", "connect", f"{HERE}:{port}", "subscribe=t", "--", 2) as peer:
            assert xpub.recv() == b"\1t"
            xpub.send(b"t1")
            xpub.send(b"t2")
            peer.expect("ok 2 4")
        assert xpub.recv() == b"\0t"


@test
def our_xpub_feeds_subs_and_hears_them():
    with Sockets() as sockets:
        into, out = free_port(), free_port()
        # Subscriptions come out as messages and are sent on to a PULL.
        with Peer("bridge", "xpub", "bind", into, "--", "push", "bind", out):
            pull = sockets.make(zmq.PULL, False, out)
            sub = sockets.make(zmq.SUB, False, into)
            sub.subscribe(b"x")
            assert pull.recv() == b"\1x"
            sub.unsubscribe(b"x")
            assert pull.recv() == b"\0x"


def echo_through(sockets, server_words, peer_binds, **options):
    # Not a REQ: libzmq pushes the ZAP user id through its REQ's state machine, which then drops
    # the connection at the first reply.
    port = free_port()
    with Peer("echo", "rep", *place(peer_binds, port), *server_words):
        dealer = sockets.make(zmq.DEALER, not peer_binds, port, **options)
        for body in bodies():
            dealer.send_multipart([b"", *body])
            assert dealer.recv_multipart() == [b"", *body]


class Zap:
    """libzmq asks this for PLAIN and CURVE."""

    def __init__(self, sockets):
        from zmq.auth.thread import ThreadAuthenticator

        self.auth = ThreadAuthenticator(sockets.context)
        self.auth.start()
        self.auth.configure_plain(domain="*", passwords={"ada": "1815"})
        self.auth.configure_curve(domain="*", location=zmq.auth.CURVE_ALLOW_ANY)

    def __enter__(self):
        return self.auth

    def __exit__(self, *_):
        self.auth.stop()


@test
def plain_with_either_side_as_server():
    for peer_binds in (True, False):
        with Sockets() as sockets:
            client = dict(plain_username=b"ada", plain_password=b"1815")
            echo_through(sockets, ["plain-server=ada:1815"], peer_binds, **client)
        with Sockets() as sockets, Zap(sockets):
            echo_through(sockets, ["plain=ada:1815"], peer_binds, plain_server=1)


@test
def curve_with_either_side_as_server():
    for peer_binds in (True, False):
        server_public, server_secret = zmq.curve_keypair()
        public, secret = zmq.curve_keypair()
        with Sockets() as sockets:
            client = dict(
                curve_serverkey=server_public, curve_publickey=public, curve_secretkey=secret
            )
            words = [f"curve-server={server_secret.decode()}:{secret.decode()}"]
            echo_through(sockets, words, peer_binds, **client)
        with Sockets() as sockets, Zap(sockets):
            server = dict(curve_server=1, curve_secretkey=server_secret)
            words = [f"curve={server_public.decode()}:{secret.decode()}"]
            echo_through(sockets, words, peer_binds, **server)


def mechanisms():
    """For each mechanism with either side as its server: our words, libzmq's options."""
    server, server_secret = zmq.curve_keypair()
    public, secret = zmq.curve_keypair()
    ours_serves = [f"curve-server={server_secret.decode()}:{secret.decode()}"]
    we_ask = [f"curve={server.decode()}:{secret.decode()}"]
    keys = dict(curve_serverkey=server, curve_publickey=public, curve_secretkey=secret)
    yield [], {}
    yield ["plain-server=ada:1815"], dict(plain_username=b"ada", plain_password=b"1815")
    yield ["plain=ada:1815"], dict(plain_server=1)
    yield ours_serves, keys
    yield we_ask, dict(curve_server=1, curve_secretkey=server_secret)


def answers(peer, theirs):
    """libzmq asks and our side answers."""
    head = [b""] if theirs.type == zmq.DEALER else []
    for body in ([b"water"], [b"one", b"", bytes(70000)]):
        theirs.send_multipart([*head, *body])
        assert theirs.recv_multipart() == [*head, *body]


def asks(peer, theirs):
    """Our side asks and libzmq answers."""
    for _ in range(5):
        theirs.send_multipart(theirs.recv_multipart())
    peer.expect("ok 5 lost 0")


def sends(peer, theirs):
    """Our side sends, a message every few hundredths of a second."""
    for _ in range(2):
        assert theirs.recv() == b"water"


def receives(peer, theirs):
    """libzmq sends until enough of it has come; what is published before a subscription is lost."""
    done = threading.Thread(target=lambda: peer.expect("ok 5 25"))
    done.start()
    theirs.sndtimeo = 100
    while done.is_alive():
        try:
            theirs.send(b"water")
        except zmq.Again:
            pass
        done.join(0.004)


# Our verb, our type and its words, libzmq's type, what is done.
PAIRS = [
    ("echo", "rep", [], zmq.REQ, answers),
    ("echo", "rep", [], zmq.DEALER, answers),
    ("echo", "router", [], zmq.REQ, answers),
    ("echo", "router", [], zmq.DEALER, answers),
    ("echo", "dealer", [], zmq.DEALER, answers),
    ("ask", "req", [], zmq.REP, asks),
    ("ask", "req", [], zmq.ROUTER, asks),
    ("ask", "dealer", [], zmq.ROUTER, asks),
    ("ask", "dealer", [], zmq.DEALER, asks),
    ("beat", "push", [], zmq.PULL, sends),
    ("drain", "pull", [], zmq.PUSH, receives),
    ("beat", "pub", [], zmq.SUB, sends),
    ("beat", "pub", [], zmq.XSUB, sends),
    ("beat", "xpub", [], zmq.SUB, sends),
    ("beat", "xpub", [], zmq.XSUB, sends),
    ("drain", "sub", ["subscribe=wat"], zmq.PUB, receives),
    ("drain", "sub", ["subscribe=wat"], zmq.XPUB, receives),
    ("drain", "xsub", ["subscribe=wat"], zmq.PUB, receives),
    ("drain", "xsub", ["subscribe=wat"], zmq.XPUB, receives),
]
REST = {"ask": ["5", "100"], "drain": ["5"], "beat": ["water"], "echo": []}


@test
def every_pattern_by_every_mechanism_and_either_side_binding():
    for (ours, theirs), peer_binds in itertools.product(mechanisms(), (True, False)):
        for verb, kind, words, other, check in PAIRS:
            # libzmq pushes the ZAP user id through its REQ's state machine, which then drops the
            # connection at the first reply: no REQ of its with security.
            if other == zmq.REQ and theirs:
                continue
            with Sockets() as sockets, Zap(sockets):
                port = free_port()
                places = [*place(peer_binds, port), *words, *ours, "--"]
                with Peer(verb, kind, *places, *REST[verb]) as peer:
                    socket = sockets.make(other, not peer_binds, port, **theirs)
                    if other == zmq.SUB:
                        socket.subscribe(b"wat")
                    if other == zmq.XSUB:
                        socket.send(b"\1wat")
                    try:
                        check(peer, socket)
                    except Exception as error:
                        where = (verb, kind, socket.type, peer_binds, ours, theirs)
                        raise AssertionError(where) from error


def refused(sockets, port, **options):
    """libzmq's side does not get through: no handshake is completed, and its message is not answered."""
    theirs = sockets.context.socket(zmq.DEALER)
    sockets.made.append(theirs)
    theirs.linger = 0
    for name, value in options.items():
        setattr(theirs, name, value)
    # It may not try again, so that the one attempt has to be seen.
    monitor = theirs.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | FAILED)
    theirs.connect(f"tcp://{THERE}:{port}")
    theirs.send_multipart([b"", b"let me in"])
    assert monitor.poll(DEADLINE_S * 1000), "the attempt does not end"
    event = zmq.utils.monitor.recv_monitor_message(monitor)["event"]
    assert event != zmq.EVENT_HANDSHAKE_SUCCEEDED, "the handshake was completed"
    theirs.disable_monitor()
    try:
        raise AssertionError(f"got {theirs.recv_multipart(zmq.NOBLOCK)}")
    except zmq.Again:
        pass


FAILED = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)


@test
def only_the_mechanism_that_is_wanted_gets_through():
    """Every mechanism offered at every one wanted, of which only the pairs that fit do; either side is the server."""
    ours_all, theirs_all = zip(*mechanisms())
    for (row, ours), (column, theirs) in itertools.product(
        enumerate(ours_all), enumerate(theirs_all)
    ):
        if row == column:
            # Each of these pairs is a row of `mechanisms`, and carries all patterns above.
            continue
        if (row, column) in ((1, 2), (3, 4)):
            # libzmq's greeting does not say that it is a server, so that two servers wait for each other's client.
            theirs = dict(handshake_ivl=500, **theirs)
        with Sockets() as sockets, Zap(sockets):
            port = free_port()
            with Peer("echo", "rep", "bind", port, *ours):
                try:
                    refused(sockets, port, **theirs)
                except Exception as error:
                    raise AssertionError((ours, theirs)) from error


@test
def wrong_secrets_get_nothing_through():
    server, server_secret = zmq.curve_keypair()
    other_public, _ = zmq.curve_keypair()
    public, secret = zmq.curve_keypair()
    stranger, stranger_secret = zmq.curve_keypair()
    serves = [f"curve-server={server_secret.decode()}:{secret.decode()}"]
    plain = ["plain-server=ada:1815"]
    cases = [
        (plain, dict(plain_username=b"ada", plain_password=b"no")),
        (plain, dict(plain_username=b"ada", plain_password=b"18150")),
        (plain, dict(plain_username=b"eve", plain_password=b"1815")),
        # The server's key is not the one that the client expects.
        (serves, dict(curve_serverkey=other_public, curve_publickey=public, curve_secretkey=secret)),
        # It is, but the client's own is nobody's whom the server knows.
        (serves, dict(curve_serverkey=server, curve_publickey=stranger, curve_secretkey=stranger_secret)),
        # The password of the other side's server, and its key.
        (["plain=ada:no"], dict(plain_server=1)),
        ([f"curve={other_public.decode()}:{secret.decode()}"], dict(curve_server=1, curve_secretkey=server_secret)),
    ]
    for words, options in cases:
        with Sockets() as sockets, Zap(sockets):
            port = free_port()
            with Peer("echo", "rep", "bind", port, *words):
                try:
                    refused(sockets, port, **options)
                except Exception as error:
                    raise AssertionError((words, options)) from error


@test
def sixty_four_mib_go_through():
    body = random.Random(7).randbytes(64 << 20)
    with Sockets() as sockets:
        port = free_port()
        with Peer("echo", "rep", "bind", port):
            req = sockets.make(zmq.REQ, False, port)
            req.send(body)
            assert req.recv() == body
    keys = zmq.curve_keypair()
    server = zmq.curve_keypair()
    with Sockets() as sockets:
        port = free_port()
        words = [f"curve-server={server[1].decode()}:{keys[1].decode()}"]
        with Peer("echo", "rep", "bind", port, *words):
            options = dict(curve_serverkey=server[0], curve_publickey=keys[0])
            req = sockets.make(zmq.REQ, False, port, curve_secretkey=keys[1], **options)
            req.send(body[: 8 << 20])
            assert req.recv() == body[: 8 << 20]


@test
def long_messages_go_through_in_pieces():
    body = random.Random(9).randbytes(64 << 20)
    for in_binds, out_binds in ((True, True), (False, False)):
        with Sockets() as sockets:
            into, out = free_port(), free_port()
            words = ["pull", *place(in_binds, into), "stream=65536", "--"]
            with Peer("relay", *words, "push", *place(out_binds, out)) as peer:
                push = sockets.make(zmq.PUSH, not in_binds, into)
                pull = sockets.make(zmq.PULL, not out_binds, out)
                for message in ([body], [b"head", body], [b"short"], [b""], [body[:65537]]):
                    push.send_multipart(message)
                    assert pull.recv_multipart() == message
                if not APPLIANCE:
                    # 4 MiB wait at each socket, and the program itself has some.
                    assert peer.peak_bytes() < 32 << 20, peer.peak_bytes()


@test
def a_thousand_connections_at_once():
    with Sockets() as sockets:
        port = free_port()
        with Peer("echo", "rep", "bind", port):
            reqs = [sockets.make(zmq.REQ, False, port) for _ in range(1000)]
            for _ in range(3):
                for number, req in enumerate(reqs):
                    req.send(b"%d" % number)
                for number, req in enumerate(reqs):
                    assert req.recv() == b"%d" % number


@test
def heartbeats_keep_a_silent_connection():
    *_, clear = itertools.islice(mechanisms(), 1)
    *_, curve = itertools.islice(mechanisms(), 4)
    for words, options in (clear, curve):
        a_silent_connection_is_kept(words, options)


def a_silent_connection_is_kept(words, options):
    with Sockets() as sockets:
        port = free_port()
        options |= dict(heartbeat_ivl=50, heartbeat_timeout=200, heartbeat_ttl=300)
        with Peer("echo", "rep", "bind", port, "heartbeat=50", *words) as peer:
            req = sockets.make(zmq.REQ, False, port, **options)
            monitor = req.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            for _ in range(2):
                req.send(b"still there?")
                assert req.recv() == b"still there?"
                # Several times as long as a side waits for the other's answer to a heartbeat.
                time.sleep(0.7)
            assert monitor.poll(0) == 0, "the connection was lost"
            if not APPLIANCE:
                # And a peer that stops is noticed.
                peer.process.send_signal(signal.SIGSTOP)
                assert monitor.poll(DEADLINE_S * 1000) != 0, "nobody noticed"
            monitor.close()


@test
def our_side_is_killed_and_restarted_in_mid_stream():
    with Sockets() as sockets:
        port = free_port()
        push = sockets.make(zmq.PUSH, False, port, reconnect_ivl=20, sndhwm=10)
        for _ in range(3):
            with Peer("drain", "pull", "bind", port, "--", 2000) as peer:
                for _ in range(2000):
                    push.send(bytes(1000))
                stopped = threading.Event()

                def more():
                    while not stopped.is_set():
                        try:
                            push.send(bytes(1000), zmq.NOBLOCK)
                        except zmq.Again:
                            time.sleep(0.01)

                feeder = threading.Thread(target=more)
                feeder.start()
                try:
                    peer.expect("ok 2000")
                finally:
                    stopped.set()
                    feeder.join()


@test
def libzmq_is_killed_and_restarted_in_mid_stream():
    port = free_port()
    count = 20000
    with Peer("flood", "push", "connect", f"{HERE}:{port}", "hwm=100", "--", count, 10000) as peer:
        seen = set()
        while len(seen) < count // 2:
            with Sockets() as sockets:
                pull = sockets.make(zmq.PULL, True, port, rcvhwm=10)
                for _ in range(count // 8):
                    seen.add(int.from_bytes(pull.recv()[:8], "big"))
        with Sockets() as sockets:
            pull = sockets.make(zmq.PULL, True, port, rcvtimeo=3000)
            last = -1
            while last != count - 1:
                number = int.from_bytes(pull.recv()[:8], "big")
                assert number > last, (number, last)
                last = number
            peer.expect(f"ok {count}")


@test
def a_subscriber_gets_its_subscriptions_back_after_a_restart():
    port = free_port()
    with Peer("bridge", "sub", "connect", f"{HERE}:{port}", "subscribe=t", "--",
              "push", "bind", free_port()):
        for _ in range(3):
            with Sockets() as sockets:
                xpub = sockets.make(zmq.XPUB, True, port)
                assert xpub.recv() == b"\1t"


@of_a_process
def our_peers_talk_to_each_other():
    port = free_port()
    with Peer("drain", "pull", "bind", port, "--", 100000) as pull:
        with Peer("flood", "push", "connect", f"{HERE}:{port}", "--", 100000, 64) as push:
            push.expect("ok 100000")
            pull.expect("ok 100000 6400000")


@test
def garbage_ends_one_connection_and_no_other():
    with Sockets() as sockets:
        port = free_port()
        with Peer("echo", "rep", "bind", port):
            req = sockets.make(zmq.REQ, False, port)
            chance = random.Random(11)
            greeting = b"\xff" + bytes(8) + b"\x7f\x03\x01NULL" + bytes(16 + 32)
            ready = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03REQ"
            for attempt in range(200):
                req.send(b"fine")
                with tcp.create_connection((THERE, port)) as raw:
                    head = (b"", greeting, greeting + ready)[attempt % 3]
                    raw.sendall(head + chance.randbytes(100))
                assert req.recv() == b"fine"


@of_a_process
def a_service_answers_python_plain_and_compressed():
    with Sockets() as sockets:
        port = free_port()
        with Peer("serve", "bind", port):
            req = sockets.make(zmq.REQ, False, port)
            million = list(range(1, 1_000_001))
            for numbers in ([1, 2, 3], million):
                plain = cbor2.dumps(numbers)
                requests = [(b"p", plain, b"p"), (b"z", zlib.compress(plain), b"z"), (b"c", plain, b"z")]
                for mark, body, expected in requests:
                    req.send(mark + body)
                    reply = req.recv()
                    assert reply[:1] == expected, reply[:100]
                    body = zlib.decompress(reply[1:]) if expected == b"z" else reply[1:]
                    total, back = cbor2.loads(body)
                    assert (total, back) == (sum(numbers), numbers)
            req.send(b"p" + cbor2.dumps([0]))
            assert req.recv() == b"e" + cbor2.dumps("the handler failed")
            req.send(b"p" + cbor2.dumps([5]))
            assert req.recv()[:1] == b"p"


@of_a_process
def an_unreadable_request_is_answered_and_ends_that_call_only():
    bomb = zlib.compress(bytes(1 << 28), 9)
    with Sockets() as sockets:
        port = free_port()
        with Peer("serve", "bind", port):
            req, other = [sockets.make(zmq.REQ, False, port) for _ in range(2)]
            lost = [it.get_monitor_socket(zmq.EVENT_DISCONNECTED) for it in (req, other)]
            for bad, why in [
                (b"?x", "unknown prefix byte 0x3f"),
                (b"z" + zlib.compress(b"\x81\x01")[:-3], "input ends in the middle"),
                (b"zzz", "not valid zlib"),
                (b"z" + bomb, "expands beyond the limit"),
                (b"p" + b"\x81" * 100000, "cbor"),
                (b"p\x81\x01\x01", "bytes after the end"),
                (b"p" + cbor2.dumps("no list"), "cbor of another shape than expected"),
            ]:
                req.send(bad)
                reply = req.recv()
                assert reply[:1] == b"e" and why in cbor2.loads(reply[1:]), (why, reply)
                for caller in (req, other):
                    caller.send(b"p" + cbor2.dumps([5]))
                    assert caller.recv()[:1] == b"p"
            for monitor in lost:
                assert monitor.poll(0) == 0, "a connection ended"
                monitor.close()


@of_a_process
def our_client_calls_our_service_concurrently():
    for client_binds in (True, False):
        port = free_port()
        with Peer("serve", *place(not client_binds, port)):
            client = [PEER, "call", *map(str, place(client_binds, port)), "300"]
            done = subprocess.run(client, timeout=DEADLINE_S, capture_output=True, text=True)
            assert done.stdout.strip() == "ok 300", (done.stdout, done.stderr)


@of_a_process
def our_client_calls_a_service_in_python():
    with Sockets() as sockets:
        port = free_port()
        rep = sockets.make(zmq.REP, True, port)
        client = subprocess.Popen(
            [PEER, "call", "connect", f"{HERE}:{port}", "30"],
            stdout=subprocess.PIPE, text=True,
        )
        for _ in range(33):
            request = rep.recv()
            body = zlib.decompress(request[1:]) if request[:1] == b"z" else request[1:]
            numbers = cbor2.loads(body)
            if numbers[0] == 0:
                rep.send(b"e" + cbor2.dumps("no zeros"))
                continue
            reply = cbor2.dumps([sum(numbers), numbers])
            rep.send(b"p" + reply if request[:1] == b"p" else b"z" + zlib.compress(reply))
        assert client.communicate(timeout=DEADLINE_S)[0].strip() == "ok 30"


def main():
    wanted = argument("-k", "")
    failed = 0
    for function in TESTS:
        if wanted not in function.__name__:
            continue
        started = time.monotonic()
        try:
            function()
            outcome = "ok"
        except Exception as error:  # noqa: BLE001: a test's failure is its report
            import traceback

            traceback.print_exc()
            outcome = f"FAILED {error!r}"[:300]
            failed += 1
        print(f"{function.__name__} ... {outcome} ({time.monotonic() - started:.1f} s)", flush=True)
    print("some failed" if failed else "all checked", flush=True)
    os._exit(1 if failed else 0)


main()
