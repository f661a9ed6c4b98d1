"""The appliance as a secure vat, from Python's ssl and pycapnp 2.

secure.py fingerprint KEY.pem
secure.py check SCHEMA REFERENCE KNOWN STRANGER    KNOWN and STRANGER are NAME of NAME.key and NAME.pem
secure.py serve SCHEMA IDENTITY serve HOST:PORT, or unix:PATH

A check ends with "all checked".
"""

import asyncio
import base64
import hashlib
import socket
import ssl
import subprocess
import sys

import capnp

rpc = capnp.load("/usr/include/capnp/rpc.capnp", imports=["/usr/include"])
persistent = capnp.load("/usr/include/capnp/persistent.capnp", imports=["/usr/include"])


def openssl(*words, given=b""):
    return subprocess.run(["openssl", *words], input=given, capture_output=True, check=True).stdout


def digest(public_key):
    """What mirage/capnp-rpc names a vat by."""
    text = base64.urlsafe_b64encode(hashlib.sha256(public_key).digest())
    return "sha-256:" + text.decode().rstrip("=")


def fingerprint_of_key(path):
    return digest(openssl("pkey", "-in", path, "-pubout", "-outform", "DER"))


def fingerprint_of_certificate(der):
    pem = openssl("x509", "-inform", "DER", "-noout", "-pubkey", given=der)
    return digest(openssl("pkey", "-pubin", "-outform", "DER", given=pem))


class Reference:
    def __init__(self, text):
        self.text = text
        scheme, _, rest = text.partition("://")
        assert scheme == "capnp", text
        self.fingerprint, _, rest = rest.partition("@")
        if rest.startswith("/"):
            self.path, _, token = rest.rpartition("/")
        else:
            address, _, token = rest.partition("/")
            self.path = None
            self.host, _, port = address.rpartition(":")
            self.port = int(port)
        self.token = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))


def context(identity, version=ssl.TLSVersion.TLSv1_3):
    """Keys, and nothing else, say who is who: no authority, and no name."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.minimum_version = made.maximum_version = version
    if identity:
        made.load_cert_chain(identity + ".pem", identity + ".key")
    return made


def connect_plain(reference):
    if not reference.path:
        return socket.create_connection((reference.host, reference.port), timeout=20)
    plain = socket.socket(socket.AF_UNIX)
    plain.settimeout(20)
    plain.connect(reference.path)
    return plain


def connect(reference, identity):
    plain = connect_plain(reference)
    secure = context(identity).wrap_socket(plain)
    assert fingerprint_of_certificate(secure.getpeercert(True)) == reference.fingerprint
    return secure


def ended(connection):
    """Whether the other side ends it without a word of RPC."""
    try:
        return connection.recv(1) == b""
    except (ssl.SSLError, ConnectionError):
        return True


def who_has_no_key_is_not_let_in(reference):
    assert ended(connect(reference, None))
    try:
        plain = connect_plain(reference)
        context(None, ssl.TLSVersion.TLSv1_2).wrap_socket(plain)
    except ssl.SSLError as error:
        assert "PROTOCOL_VERSION" in str(error).upper().replace(" ", "_"), error
    else:
        raise AssertionError("TLS 1.2 was accepted")
    with connect_plain(reference) as plain:
        message = rpc.Message.new_message()
        message.init("bootstrap")
        plain.sendall(message.to_bytes())
        assert plain.recv(1) in (b"", b"\x15")


def restored(reference, identity, token, interface, method):
    """Asks for the service of a token, as mirage/capnp-rpc does, calls it, and gives the answer to the call."""
    connection = connect(reference, identity)
    bootstrap = rpc.Message.new_message()
    asked = bootstrap.init("bootstrap")
    asked.questionId = 0
    asked.deprecatedObjectId = token
    call = rpc.Message.new_message()
    made = call.init("call")
    made.questionId = 1
    made.target.init("promisedAnswer").questionId = 0
    made.interfaceId, made.methodId = interface, method
    made.init("params")
    connection.sendall(bootstrap.to_bytes() + call.to_bytes())
    with connection.makefile("rb") as file:
        for message in rpc.Message.read_multiple_bytes(whole_messages(file, 2)):
            if message.which() == "return" and getattr(message, "return").answerId == 1:
                return getattr(message, "return").which()
    raise AssertionError("no answer")


def whole_messages(file, count):
    said = b""
    for _ in range(count):
        head = file.read(8)
        segments = int.from_bytes(head[:4], "little") + 1
        rest = file.read(4 * (segments - 1) + (4 if segments % 2 == 0 else 0))
        sizes = [head[4:8]] + [rest[4 * n : 4 * n + 4] for n in range(segments - 1)]
        words = sum(int.from_bytes(size, "little") for size in sizes)
        said += head + rest + file.read(8 * words)
    return said


def tokens_lead_to_their_services(reference, identity, schema):
    status = (schema.Admin.schema.node.id, 0)
    assert restored(reference, identity, reference.token, *status) == "results"
    for token in (reference.token[:-1], b"admin", reference.token + b"x"):
        assert restored(reference, identity, token, *status) == "exception", token


async def directory(reference, identity, schema):
    if reference.path:
        stream = await capnp.AsyncIoStream.create_unix_connection(
            reference.path, ssl=context(identity), server_hostname="localhost"
        )
    else:
        stream = await capnp.AsyncIoStream.create_connection(
            reference.host, reference.port, ssl=context(identity)
        )
    return stream, capnp.TwoPartyClient(stream).bootstrap().cast_as(schema.Directory)


async def each_sees_what_is_its_own(reference, known, stranger, schema):
    _stream, theirs = await directory(reference, known, schema)
    assert [it.name for it in (await theirs.list()).services] == ["admin", "calculator"]
    admin = theirs.get("admin").service
    assert (await admin.cast_as(schema.Admin).status()).version
    saved = await admin.cast_as(persistent.Persistent).save()
    assert saved.sturdyRef.as_text() == reference.text, saved
    _other, open_to_all = await directory(reference, stranger, schema)
    assert [it.name for it in (await open_to_all.list()).services] == ["calculator"]
    calculator = open_to_all.get("calculator").service.cast_as(schema.Calculator)
    assert (await calculator.value(7).value.read()).number == 7
    data = bytes(range(251)) * 4000
    assert (await calculator.echo(data)).data == data
    try:
        await open_to_all.get("admin")
    except capnp.KjException as error:
        assert "no service of this name" in error.description
    else:
        raise AssertionError("strangers have the admin service")


def check(schema, text, known, stranger):
    schema = capnp.load(schema, imports=["/usr/include"])
    reference = Reference(text)
    who_has_no_key_is_not_let_in(reference)
    tokens_lead_to_their_services(reference, stranger, schema)
    asyncio.run(capnp.run(each_sees_what_is_its_own(reference, known, stranger, schema)))
    print("all checked", flush=True)


def serve(schema, identity, address):
    schema = capnp.load(schema, imports=["/usr/include"])
    host, port = address.rsplit(":", 1)
    make = capnp.AsyncIoStream.create_server
    place = (host, int(port)) if host != "unix" else (port,)
    if host == "unix":
        make = capnp.AsyncIoStream.create_unix_server

    class Echo(schema.Calculator.Server):
        async def echo(self, data, **_):
            return data[::-1]

    async def one(stream):
        await capnp.TwoPartyServer(stream, bootstrap=Echo()).on_disconnect()

    async def main():
        secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        secure.load_cert_chain(identity + ".pem", identity + ".key")
        server = await make(one, *place, ssl=secure)
        async with server:
            await server.serve_forever()

    asyncio.run(capnp.run(main()))


if sys.argv[1] == "fingerprint":
    print(fingerprint_of_key(sys.argv[2]))
elif sys.argv[1] == "check":
    check(*sys.argv[2:])
else:
    serve(sys.argv[2], sys.argv[3], sys.argv[5])
