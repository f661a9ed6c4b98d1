"""Python's ssl against the appliance's HTTPS: pieces of all sizes, ends of both kinds, odd records."""

import socket
import ssl
import struct
import sys

HOST, PORT, AUTHORITY = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def context(version):
    made = ssl.create_default_context(cafile=AUTHORITY)
    made.minimum_version = made.maximum_version = version
    return made


def connect(version):
    plain = socket.create_connection((HOST, PORT), timeout=20)
    return context(version).wrap_socket(plain, server_hostname=HOST)


def answer(connection):
    said = b""
    while piece := connection.recv(65536):
        said += piece
    return said


def echo(version, body, piece):
    with connect(version) as connection:
        head = f"POST /_test/echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        sent = head.encode() + body
        for start in range(0, len(sent), piece):
            connection.sendall(sent[start:start + piece])
        head, _, content = answer(connection).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        assert content == body, (version, piece, len(content))


def in_the_clear(sent):
    """What comes back for bytes that are sent without TLS."""
    with socket.create_connection((HOST, PORT), timeout=20) as plain:
        plain.sendall(sent)
        said = b""
        try:
            while piece := plain.recv(4096):
                said += piece
        except ConnectionResetError:
            pass
        return said


body = bytes(number * 7 % 251 for number in range(50_000))
for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    for piece in (1, 7, 100, 5000, 100_000):
        echo(version, body if piece > 50 else body[:500], piece)
    # Both ends are told: a truncated answer would raise SSLEOFError.
    with connect(version) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert answer(connection).startswith(b"HTTP/1.1 200 ")
        connection.unwrap()

# Alerts in the clear: record_overflow, unexpected_message, decode_error.
assert in_the_clear(b"\x16\x03\x01\xff\xff") == b"\x15\x03\x03\x00\x02\x02\x16"
assert in_the_clear(b"\x17\x03\x03\x00\x01\x00")[-2:] == b"\x02\x0a"
assert in_the_clear(b"\x16\x03\x01\x00\x08\x01\x00\x00\x04\x03\x03\x00\x00")[-2:] == b"\x02\x32"
assert in_the_clear(b"\x80\x2e\x01\x00\x02") == b""
# A hello that never ends.
assert in_the_clear(struct.pack(">BHHBBH", 22, 0x0301, 16384, 1, 255, 65535) + bytes(16380))[-1:] == b"\x32"
print("all is well")
