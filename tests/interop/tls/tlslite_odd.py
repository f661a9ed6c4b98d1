"""tlslite-ng against the appliance's HTTPS: messages that no usual client sends."""

import socket
import sys

from tlslite.api import HandshakeSettings, TLSConnection
from tlslite.constants import AlertDescription, ContentType, KeyUpdateMessageType
from tlslite.errors import TLSAbruptCloseError, TLSRemoteAlert
from tlslite.messages import Message

HOST, PORT = sys.argv[1], int(sys.argv[2])
REQUEST = b"POST /_test/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
TLS_1_2, TLS_1_3 = (3, 3), (3, 4)


def connect(version=TLS_1_3, record_bytes=None, **more):
    settings = HandshakeSettings()
    settings.minVersion = settings.maxVersion = version
    for name, value in more.items():
        setattr(settings, name, value)
    connection = TLSConnection(socket.create_connection((HOST, PORT), timeout=20))
    if record_bytes:
        connection.recordSize = record_bytes
    connection.handshakeClientCert(settings=settings)
    return connection


def ask(connection):
    connection.sendall(REQUEST)
    said = b""
    while not said.endswith(b"hello"):
        piece = connection.recv(16384)
        assert piece, said
        said += piece
    assert said.startswith(b"HTTP/1.1 200 "), said


def send(connection, kind, content):
    for _ in connection._recordLayer.sendRecord(Message(kind, bytearray(content))):
        pass


def told(connection):
    """The alert that ends a connection."""
    try:
        while connection.recv(16384):
            pass
    except TLSRemoteAlert as alert:
        return alert.description
    except TLSAbruptCloseError:
        return "cut off"
    return "closed"


for version in (TLS_1_2, TLS_1_3):
    for cipher in ("aes128gcm", "aes256gcm", "chacha20-poly1305"):
        with_cipher = connect(version, cipherNames=[cipher])
        ask(with_cipher)
        ask(with_cipher)
    for record_bytes in (1, 2, 5, 100):
        ask(connect(version, record_bytes))
    # Extensions that are not spoken here.
    ask(connect(version, use_heartbeat_extension=True))
    ask(connect(version, record_size_limit=64))
    ask(connect(version, sendFallbackSCSV=False, useEncryptThenMAC=True, usePaddingExtension=True))
    # The certificate's curve is among them, which TLS 1.2 asks for.
    for curve in ("secp256r1", "secp384r1", "x25519"):
        ask(connect(version, eccCurves=[curve, "secp256r1"], keyShares=[curve]))

# A share is asked for: RFC 8446 section 4.1.4.
ask(connect(keyShares=[]))
ask(connect(eccCurves=["secp521r1", "secp384r1"], keyShares=["secp521r1"]))

# Padding, RFC 8446 section 5.4.
padded = connect()
padded._recordLayer.padding_cb = lambda length, kind, room: 300
ask(padded)

# Keys on request: each is answered.
for _ in range(10):
    for _ in padded.send_keyupdate_request(KeyUpdateMessageType.update_requested):
        pass
    ask(padded)

# Records without data are borne with for a while.
empty = connect()
for _ in range(20):
    send(empty, ContentType.application_data, b"")
ask(empty)
try:
    for _ in range(1000):
        send(empty, ContentType.application_data, b"")
except OSError:
    pass
assert told(empty) in (AlertDescription.unexpected_message, "cut off")

for kind, content, alert in (
    # A record of another kind, a change of the cipher where there is none any more, a handshake anew, an odd alert.
    (ContentType.heartbeat, b"\1\0\2xx", AlertDescription.unexpected_message),
    (ContentType.handshake, b"\1\0\0\0", AlertDescription.unexpected_message),
    (ContentType.handshake, b"\x18\0\0\1\7", AlertDescription.decode_error),
    (ContentType.alert, b"\2", AlertDescription.decode_error),
):
    odd = connect()
    ask(odd)
    send(odd, kind, content)
    assert told(odd) == alert, (kind, content)

# Without a common version, cipher or group.
for wrong, alerts in (
    ({"version": (3, 2)}, (AlertDescription.protocol_version,)),
    ({"version": (3, 1)}, (AlertDescription.protocol_version,)),
    ({"version": TLS_1_2, "cipherNames": ["aes128"]}, (AlertDescription.handshake_failure,)),
    ({"eccCurves": ["secp521r1"], "keyShares": ["secp521r1"]}, (AlertDescription.handshake_failure,)),
):
    try:
        connect(**wrong)
        raise AssertionError(wrong)
    except TLSRemoteAlert as alert:
        assert alert.description in alerts, (wrong, alert)

print("all is well")
