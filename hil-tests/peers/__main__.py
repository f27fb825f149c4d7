"""Prints the tables of docs/performance.md: Outpost beside its peers, measured in one run, one after the other.

    python3 hil-tests/peers --ours                    Outpost alone; needs Rust and Python, nothing else
    python3 hil-tests/peers                           everything
    python3 hil-tests/peers network --clients 10      one table

The peers need `pip install numpy torch byzfl byzpy flwr`; one that is not installed is left out, which is said. Outpost is built first. Times on one thread are CPU times.
"""

import argparse
import subprocess
import sys

import kernels
import mixtures
import network
import package
import simulation
import training

TABLES = {"kernels": kernels, "mixtures": mixtures, "training": training, "simulation": simulation, "network": network,
          "package": package}


def main():
    parser = argparse.ArgumentParser("hil-tests/peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"of {', '.join(TABLES)}; all by default")
    parser.add_argument("--ours", action="store_true", help="without the peers")
    parser.add_argument("--shapes", default="100x7850,1000x7850,100x266060", help="kernels, mixtures: devices x parameters")
    parser.add_argument("--patience", type=int, default=60, help="kernels, mixtures: seconds after which a peer's cell is given up")
    parser.add_argument("--rounds", type=int, default=1000, help="simulation: rounds")
    parser.add_argument("--clients", default="10,50", help="network: clients")
    arguments = parser.parse_args()
    unknown = set(arguments.tables) - set(TABLES)
    if unknown:
        parser.error(f"no table {', '.join(sorted(unknown))}; there are {', '.join(TABLES)}")
    if len(arguments.tables) == 1:
        name = arguments.tables[0]
        print(f"\n### {name}\n", flush=True)
        return TABLES[name].print_table(arguments)
    # Each in a process of its own: a child's peak memory is at least that of the process that starts it.
    options = [word for word in sys.argv[1:] if word not in TABLES]
    for name in arguments.tables or TABLES:
        subprocess.run([sys.executable, sys.argv[0], name, *options], check=True)


if __name__ == "__main__":
    main()
