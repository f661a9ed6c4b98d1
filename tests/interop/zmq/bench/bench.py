"""Messages per second and MB/s over loopback TCP: ours, libzmq and the `zeromq` crate.

    python3 tests/interop/zmq/bench/bench.py NAME=PROGRAM ... [--rounds N]

Each PROGRAM, which may have words of its own, understands: echo PORT, drain PORT COUNT, ask PORT COUNT BYTES, flood PORT COUNT BYTES.
The programs take turns in each round; the figure is the median of the rounds. CPU is of both
processes together, per message. A second line compares the first program with each other one, by
rate and, in brackets, by CPU time, which a busy machine disturbs less.
"""

import os
import resource
import socket
import statistics
import subprocess
import sys

ROWS = [
    # name, verbs (server, client), messages, bytes of each
    ("REQ/REP 128 B", "echo", "ask", 20_000, 128),
    ("PUSH/PULL 128 B", "drain", "flood", 1_000_000, 128),
    ("PUSH/PULL 32 KiB", "drain", "flood", 30_000, 32 << 10),
    ("PUSH/PULL 4 MiB", "drain", "flood", 300, 4 << 20),
]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def start(program, *words):
    return subprocess.Popen([*program.split(), *map(str, words)], stdout=subprocess.PIPE, text=True)


def run(program, server, client, count, size):
    port = free_port()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    first = start(program, server, port, *([count] if server == "drain" else []))
    assert first.stdout.readline().strip() == "ready"
    second = start(program, client, port, count, size)
    measured = first if server == "drain" else second
    output = measured.communicate(timeout=300)[0].split()
    first.kill()
    second.wait(timeout=60)
    first.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return float(output[-1]), cpu


def main():
    programs = [word.split("=", 1) for word in sys.argv[1:] if "=" in word]
    rounds = int(sys.argv[sys.argv.index("--rounds") + 1]) if "--rounds" in sys.argv else 5
    print(f"{os.cpu_count()} CPUs, {rounds} rounds, median")
    print(f"{'':18}" + "".join(f"{name:>34}" for name, _ in programs))
    for row, server, client, count, size in ROWS:
        taken = {name: [] for name, _ in programs}
        for _ in range(rounds):
            for name, program in programs:
                taken[name].append(run(program, server, client, count, size))
        cells, ratios = [], []
        for name, _ in programs:
            seconds = statistics.median(wall for wall, _ in taken[name])
            cpu = statistics.median(cpu for _, cpu in taken[name])
            rate = count / seconds
            cells.append(f"{rate:>10,.0f}/s {rate * size / 1e6:>6,.0f} MB/s {cpu / count * 1e6:>7,.2f} us")
            first = first if ratios else (rate, cpu)
            ratios.append(f"{first[0] / rate:.2f}x ({cpu / first[1]:.2f}x)")
        print(f"{row:18}" + "".join(f"{cell:>34}" for cell in cells), flush=True)
        print(f"{'':52}" + "".join(f"{ratio:>34}" for ratio in ratios[1:]), flush=True)


main()
