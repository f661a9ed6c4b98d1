"""What the appliance's RPC port serves, from Python (pycapnp 2).

appliance.py SCHEMA HOST:PORT CONNECTIONS, or unix:PATH for the address; ends with "all checked".
"""

import asyncio
import sys

import capnp

LARGE_BYTES = 10 << 20
MANY_CAPS = 1000
DEADLINE_S = 60

schema = capnp.load(sys.argv[1], imports=["/usr/include"])
HOST, PORT = sys.argv[2].rsplit(":", 1)
CONNECTIONS = int(sys.argv[3])


class Power(schema.Calculator.Function.Server):
    """A function of ours, which the appliance calls."""

    def __init__(self):
        self.called = asyncio.Event()

    async def call(self, operands, **_):
        self.called.set()
        return operands[0] ** operands[1]


class Never(Power):
    def __init__(self):
        super().__init__()
        self.cancelled = asyncio.Event()

    async def call(self, operands, **_):
        self.called.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.cancelled.set()


class Value(schema.Calculator.Value.Server):
    def __init__(self, number):
        self.number = number

    async def read(self, **_):
        return self.number


async def connect():
    if HOST == "unix":
        stream = await capnp.AsyncIoStream.create_unix_connection(PORT)
    else:
        stream = await capnp.AsyncIoStream.create_connection(HOST, int(PORT))
    client = capnp.TwoPartyClient(stream, traversal_limit_in_words=64 << 20)
    return stream, client.bootstrap().cast_as(schema.Directory)


async def refused(call, kind, part):
    try:
        await call
    except capnp.KjException as exception:
        assert exception.type == kind, (exception.type, kind)
        assert part in exception.description, exception.description
    else:
        raise AssertionError(f"no error: {part}")


def service(directory, name, interface):
    return directory.get(name).service.cast_as(interface)


async def directory_lists_and_gives(directory):
    names = [entry.name for entry in (await directory.list()).services]
    assert names == ["admin", "calculator"], names
    await refused(directory.get("nothing"), "FAILED", "no service of this name")
    wrong = service(directory, "admin", schema.Calculator)
    await refused(wrong.value(1), "UNIMPLEMENTED", "")


async def admin_tells(directory):
    admin = service(directory, "admin", schema.Admin)
    first = (await admin.status()).uptimeNanoseconds
    second = await admin.status()
    assert second.uptimeNanoseconds > first and second.version
    counters = await counters_of(admin)
    assert counters['connections{service="rpc"}'] >= 1 and counters["task_panics"] == 0, counters
    assert any("rpc on " in line for line in (await admin.logTail()).lines)
    assert len((await admin.logTail(2)).lines) == 2
    shown = await admin.connections(1)
    frames_in = 'net_frames_in{card="0"}'
    if frames_in in counters:
        assert counters[frames_in] > 0 and shown.total >= 1, counters
        assert len(shown.connections) == 1 and shown.connections[0].state, shown
    return counters


async def counters_of(admin):
    """By name, with labels behind it."""
    counters = (await admin.counters()).counters
    return {it.name + (f"{{{it.labels}}}" if it.labels else ""): it.value for it in counters}


async def calls_are_pipelined(directory):
    """(2 + 3) * 4 in one go: nothing is awaited but the end."""
    calculator = service(directory, "calculator", schema.Calculator)
    add = calculator.function("add").function
    multiply = calculator.function("multiply").function
    value = [calculator.value(number).value for number in (2, 3, 4)]
    total = calculator.apply(add, value[:2]).value
    product = calculator.apply(multiply, [total, value[2]]).value
    assert (await product.read()).number == 20
    chain = value[0]
    for _ in range(50):
        chain = calculator.apply(add, [chain, value[1]]).value
    assert (await chain.read()).number == 152


async def the_appliance_calls_back(directory):
    calculator = service(directory, "calculator", schema.Calculator)
    operands = [calculator.value(number).value for number in (2, 10)]
    result = calculator.apply(Power(), operands).value
    assert (await result.read()).number == 1024


async def errors_of_each_type_come_through(directory):
    calculator = service(directory, "calculator", schema.Calculator)
    add = (await calculator.function("add")).function
    await refused(add.call([]), "FAILED", "no operands")
    broken = calculator.apply(add, []).value
    await refused(broken.read(), "FAILED", "no operands")
    await refused(calculator.values([0] * 2000), "OVERLOADED", "at most")
    await refused(calculator.cast_as(schema.Admin).status(), "UNIMPLEMENTED", "")
    # A value that another connection lent and that is gone: the appliance hears it from us.
    stream, other = await connect()
    lent = await service(other, "calculator", schema.Calculator).value(1)
    stream.close()
    await refused(calculator.apply(add, [lent.value]), "DISCONNECTED", "")


async def a_dropped_call_is_cancelled(directory):
    calculator = service(directory, "calculator", schema.Calculator)
    never = Never()
    call = asyncio.ensure_future(wait_for(calculator.apply(never, [calculator.value(1).value])))
    await never.called.wait()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await never.cancelled.wait()


async def a_thousand_capabilities_at_once(directory):
    calculator = service(directory, "calculator", schema.Calculator)
    add = calculator.function("add").function
    theirs = (await calculator.values([1] * MANY_CAPS)).values
    assert len(theirs) == MANY_CAPS
    for values, expected in ((theirs, MANY_CAPS), ([Value(2)] * MANY_CAPS, 2 * MANY_CAPS)):
        request = calculator.apply_request(function=add)
        operands = request.init("operands", MANY_CAPS)
        for index in range(MANY_CAPS):
            operands[index] = values[index]
        assert (await request.send().value.read()).number == expected


async def ten_megabytes_go_both_ways(directory):
    calculator = service(directory, "calculator", schema.Calculator)
    for length in (0, 1, 100_000, LARGE_BYTES):
        data = (bytes(range(251)) * (length // 251 + 1))[:length]
        assert (await calculator.echo(data)).data == data, length


async def many_connections(directory):
    async def one(number):
        _stream, other = await connect()
        calculator = service(other, "calculator", schema.Calculator)
        assert (await calculator.value(number).value.read()).number == number

    await asyncio.gather(*[one(number) for number in range(CONNECTIONS)])


async def a_disconnect_in_mid_call_harms_nobody_else(directory):
    stream, other = await connect()
    calculator = service(other, "calculator", schema.Calculator)
    never = Never()
    call = asyncio.ensure_future(wait_for(calculator.apply(never, [calculator.value(1).value])))
    await never.called.wait()
    stream.close()
    await asyncio.wait([call], timeout=5)
    call.cancel()
    await admin_sees_one_connection(directory)


async def wait_for(promise):
    return await promise


async def admin_sees_one_connection(directory):
    """All connections but our first are gone, in time."""
    admin = service(directory, "admin", schema.Admin)
    for _ in range(DEADLINE_S * 20):
        counters = await counters_of(admin)
        if counters['connections{service="rpc"}'] == 1:
            assert counters["task_panics"] == 0, counters
            return
        await asyncio.sleep(0.05)
    raise AssertionError(counters)


async def main():
    _stream, directory = await connect()
    for part in (
        directory_lists_and_gives,
        admin_tells,
        calls_are_pipelined,
        the_appliance_calls_back,
        errors_of_each_type_come_through,
        a_dropped_call_is_cancelled,
        a_thousand_capabilities_at_once,
        ten_megabytes_go_both_ways,
        many_connections,
        a_disconnect_in_mid_call_harms_nobody_else,
    ):
        await asyncio.wait_for(part(directory), DEADLINE_S)
        print(part.__name__, "ok", flush=True)
    print("all checked", flush=True)


asyncio.run(capnp.run(main()))
