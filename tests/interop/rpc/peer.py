"""A Cap'n Proto peer in Python (pycapnp 2), for interoperability tests.

peer.py SCHEMA serve ADDRESS serves a Demo; peer.py SCHEMA check ADDRESS calls everything of one;
peer.py SCHEMA check APPLIANCE DIRECTORY_SCHEMA ADDRESS does so by way of an appliance.
"""

import asyncio
import os
import sys
import time

import capnp

LARGE_BYTES = 10 << 20
MANY_CAPS = 1000
KINDS = ["FAILED", "OVERLOADED", "DISCONNECTED", "UNIMPLEMENTED"]

# Where Debian has the standard schemas.
schema = capnp.load(sys.argv[1], imports=["/usr/include"])


class Counters:
    def __init__(self):
        self.cancelled = 0
        self.pushed = 0


class Demo(schema.Demo.Server):
    def __init__(self, name, counters):
        self.own_name = name
        self.counters = counters

    async def empty(self, **_):
        pass

    async def echo(self, data, **_):
        return data

    async def child(self, name, **_):
        return Demo(name, self.counters)

    async def name(self, **_):
        return self.own_name

    async def callBack(self, to, times, **_):
        for _ in range(times):
            name = (await to.name()).name
        return name

    async def fail(self, kind, **_):
        raise capnp.KjException(type=KINDS[kind], message="as asked")

    async def never(self, **_):
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.counters.cancelled += 1

    async def cancelled(self, **_):
        return self.counters.cancelled

    async def many_context(self, context):
        count = context.params.count
        caps = context.results.init("caps", count)
        for index in range(count):
            caps[index] = Demo(str(index), self.counters)

    async def count(self, caps, **_):
        return len(await asyncio.gather(*[cap.name() for cap in caps]))

    async def push(self, data, **_):
        self.counters.pushed += len(data)

    async def pushed(self, **_):
        return self.counters.pushed

    # No `tail_call`: after one, pycapnp 2.2.4 aborts the process when the connection ends.
    async def tail(self, to, **_):
        return (await to.name()).name

    async def hangUp(self, **_):
        os._exit(0)


async def check(demo, connect):
    for length in [0, 1, 1000, LARGE_BYTES]:
        data = (bytes(range(251)) * (length // 251 + 1))[:length]
        assert (await demo.echo(data)).data == data, length
    print("echo: ok", flush=True)

    at = demo
    for level in range(10):
        at = at.child(f"child {level}").child
    assert (await at.name()).name == "child 9"
    print("pipelining: ok", flush=True)

    ours = Demo("called back", Counters())
    assert (await demo.callBack(ours, 5)).name == "called back"
    print("callbacks: ok", flush=True)

    for number, kind in enumerate(KINDS):
        try:
            await demo.fail(number)
        except capnp.KjException as exception:
            assert exception.type == kind, (exception.type, kind)
        else:
            raise AssertionError(kind)
    print("errors: ok", flush=True)

    before = (await demo.cancelled()).count
    call = asyncio.ensure_future(wait_for(demo.never()))
    await demo.name()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert (await demo.cancelled()).count == before + 1
    print("cancellation: ok", flush=True)

    caps = (await demo.many(MANY_CAPS)).caps
    assert len(caps) == MANY_CAPS
    request = demo.count_request()
    both = request.init("caps", 2 * MANY_CAPS)
    for index in range(MANY_CAPS):
        both[index] = caps[index]
        both[MANY_CAPS + index] = Demo("ours", Counters())
    assert (await request.send()).count == 2 * MANY_CAPS
    print("capabilities: ok", flush=True)

    assert (await demo.tail(ours)).name == "called back"
    print("tail call: ok", flush=True)

    # A second connection breaks while the server is at work for it; the first sees it noticed.
    before = (await demo.cancelled()).count
    stream, other = await connect()
    call = asyncio.ensure_future(wait_for(other.never()))
    await other.name()
    stream.close()
    deadline = time.monotonic() + 20
    while (await demo.cancelled()).count == before:
        assert time.monotonic() < deadline
    await asyncio.gather(call, return_exceptions=True)
    print("our end in mid-call: ok", flush=True)

    # The server ends itself while it is at work for us.
    calls = [asyncio.ensure_future(wait_for(demo.never()))]
    await demo.name()
    calls.append(asyncio.ensure_future(wait_for(demo.hangUp())))
    calls += [asyncio.ensure_future(wait_for(demo.name()))]
    for ended in await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 20):
        assert isinstance(ended, capnp.KjException) and ended.type == "DISCONNECTED", repr(ended)
    print("their end in mid-call: ok", flush=True)
    print("all checked", flush=True)


async def wait_for(promise):
    return await promise


async def main():
    verb, address = sys.argv[2:4]
    host, port = address.rsplit(":", 1)
    if verb == "serve":
        counters = Counters()

        async def serve(stream):
            server = capnp.TwoPartyServer(stream, bootstrap=Demo("demo", counters))
            await server.on_disconnect()

        server = await capnp.AsyncIoStream.create_server(serve, host, int(port))
        print("listening on", address, flush=True)
        async with server:
            await server.serve_forever()
    else:
        async def connect():
            stream = await capnp.AsyncIoStream.create_connection(host, int(port))
            client = capnp.TwoPartyClient(stream, traversal_limit_in_words=64 << 20)
            service = client.bootstrap()
            if len(sys.argv) > 4:
                directory = capnp.load(sys.argv[4], imports=["/usr/include"]).Directory
                service = service.cast_as(directory).get("relay " + sys.argv[5]).service
            return stream, service.cast_as(schema.Demo)

        _stream, demo = await connect()
        await check(demo, connect)


asyncio.run(capnp.run(main()))
