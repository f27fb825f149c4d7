"""266,060 floats to every client and back, unchanged, over this machine's network; clients and server are processes of
their own.
"""

import json
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import programs

FLOATS = 266_060
ROUNDS = 12
# The first rounds start processes up, the last one evaluates.
COUNTED = slice(2, -1)
SCENARIO = f"""
name = "echo"
dataset = "mnist"
model = "dnn"
rounds = {ROUNDS}
training.local-steps = 0
fleet.compromised = 0
aggregation.rule = "mean"
evaluation.every = 1000000
"""


def print_table(arguments):
    program = programs.build()
    there = programs.installed({"Flower": ["numpy", "flwr"]}, arguments)
    print(f"{FLOATS:,} floats to each client and back:\n")
    programs.head("clients", "program", "seconds a round", "fastest to slowest", "client MiB", "server MiB", "bytes up / 4d")
    for clients in map(int, arguments.clients.split(",")):
        # Before and after: a machine that is slow for a while shows.
        for measure in [outpost, flower, outpost] if there else [outpost]:
            measure(clients, program)


def outpost(clients, program):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "scenario.toml").write_text(SCENARIO)
        command = [program, "run", folder / "scenario.toml", "--on", "processes", "--out", folder / "run"]
        process = subprocess.Popen([*command, "--set", f"fleet.devices={clients}"], cwd=programs.ROOT, stdout=subprocess.DEVNULL)
        memory = watch(process, lambda child: "client" if "edge-client" in child else "server" if "aggregator-node" in child else "other")
        rounds = [json.loads(line) for line in (folder / "run/rounds.jsonl").read_text().splitlines()]
    assert all(one["accepted"] == clients for one in rounds), "a client missed a round"
    up = statistics.median(one["bytes_up"] for one in rounds) / (4 * FLOATS * clients)
    print_row(clients, "Outpost", [one["seconds"] for one in rounds[COUNTED]], memory, f"{up:.4f}")


def flower(clients, _):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % free.getsockname()[1]
    command = [sys.executable, __file__, address, str(clients)]
    process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    memory = watch(process, lambda child: "client" if child.endswith("client") else "server")
    times = json.loads(process.stdout.read().splitlines()[-1])
    print_row(clients, "Flower", times[COUNTED], memory, "-")


def print_row(clients, program, times, memory, up):
    median = statistics.median(times)
    spread = f"{min(times):.2f} to {max(times):.2f}"
    programs.row(clients, program, f"**{median:.3f}**", spread, f"{memory['client']:.1f}", f"{memory['server']:.0f}", up)


def watch(process, kind):
    """Waits for the end: the peak resident memory of its children in MiB, of a client the median over all."""
    peaks = {}
    while process.poll() is None:
        listed = subprocess.run(["ps", "-o", "pid=,rss=,args=", "--ppid", str(process.pid)], text=True, stdout=subprocess.PIPE)
        for line in listed.stdout.splitlines():
            pid, memory, child = line.split(maxsplit=2)
            # One that has ended has no memory and no arguments.
            if memory != "0":
                peaks[kind(child), pid] = max(int(memory) / 1024, peaks.get((kind(child), pid), 0))
        time.sleep(0.5)
    assert process.returncode == 0, f"ended with {process.returncode}"
    of = lambda wanted: [memory for (name, _), memory in peaks.items() if name == wanted]
    return {name: statistics.median(of(name)) for name in ("client", "server")}


def start_all(address, clients):
    """Flower's server and clients; the server prints how long each round took."""
    server = subprocess.Popen([sys.executable, __file__, address, str(clients), "server"])
    time.sleep(4)
    started = []
    for _ in range(clients):
        started.append(subprocess.Popen([sys.executable, __file__, address, str(clients), "client"], stdout=subprocess.DEVNULL))
        time.sleep(0.1)
    server.wait()
    for client in started:
        client.wait(timeout=60)


def serve(address, clients):
    import flwr.server
    import numpy
    from flwr.common import ndarrays_to_parameters
    from flwr.server.strategy import FedAvg
    begun = []

    class Clocked(FedAvg):
        def configure_fit(self, *arguments, **options):
            begun.append(time.perf_counter())
            return super().configure_fit(*arguments, **options)

        def aggregate_fit(self, server_round, results, failures):
            assert len(results) == clients and not failures, "a client missed a round"
            return super().aggregate_fit(server_round, results, failures)

    model = ndarrays_to_parameters([numpy.random.default_rng(0).standard_normal(FLOATS, dtype=numpy.float32)])
    strategy = Clocked(fraction_evaluate=0.0, min_fit_clients=clients, min_available_clients=clients, min_evaluate_clients=0,
                       initial_parameters=model)
    flwr.server.start_server(server_address=address, config=flwr.server.ServerConfig(num_rounds=ROUNDS), strategy=strategy)
    print(json.dumps([end - start for start, end in zip(begun, begun[1:])]), flush=True)


def return_unchanged(address):
    from flwr.client import NumPyClient, start_client

    class Echo(NumPyClient):
        def fit(self, parameters, config):
            return parameters, 1, {}

    start_client(server_address=address, client=Echo().to_client(), insecure=True)


if __name__ == "__main__":
    where, count = sys.argv[1], int(sys.argv[2])
    roles = {"server": lambda: serve(where, count), "client": lambda: return_unchanged(where)}
    roles.get("".join(sys.argv[3:]), lambda: start_all(where, count))()
