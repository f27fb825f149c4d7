"""Runs public packages on the conformance vectors and writes docs/who-computes-what.md: what is the same, what differs, and why.

    python3 hil-tests/peers/who_computes_what.py             installs them, several GB, and writes the page
    python3 hil-tests/peers/who_computes_what.py --print     prints it instead
    python3 hil-tests/peers/who_computes_what.py --cases     prints every case that differs, too

The packages go into a virtual environment of their own, target/who-computes-what. A package that cannot be installed is left out, and the page says
so. The reasons were read in the sources of the versions below. Where a reason says what a package computes in place of the definition, that variant
is worked out here as well, and the page says in how many cases it is what the package gives.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / "target/who-computes-what"
NEEDED = ["numpy", "scipy", "torch", "torchvision", "matplotlib", "seaborn", "cloudpickle", "flwr==1.42.0"]
# These ask for versions of torch and numpy that exclude each other; they run with those of today.
ALONE = ["byzfl==0.0.11", "byzpy==0.1.4"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--print", action="store_true", help="print the page instead of writing it")
    parser.add_argument("--cases", action="store_true", help="print every case that differs")
    arguments = parser.parse_args()
    if pathlib.Path(sys.prefix).resolve() != ENVIRONMENT.resolve():
        sys.exit(subprocess.run([install(), __file__, *sys.argv[1:]]).returncode)
    import peer_page
    page = peer_page.page(ROOT / "docs/conformance", arguments.cases)
    if arguments.print:
        print(page)
    else:
        (ROOT / "docs/who-computes-what.md").write_text(page)


def install():
    """The Python of the environment, which is made if it is not there."""
    python = ENVIRONMENT / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
    marker = ENVIRONMENT / "installed.json"
    if not marker.exists() or json.loads(marker.read_text()) != NEEDED + ALONE:
        pip = ["nice", "-n", "10", python, "-m", "pip", "install", "--quiet"]
        for command in [pip + NEEDED] + [pip + ["--no-deps", package] for package in ALONE]:
            if subprocess.run(command, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}).returncode != 0:
                print(f"not installed: {' '.join(map(str, command[6:]))}", file=sys.stderr)
        marker.write_text(json.dumps(NEEDED + ALONE))
    return python


if __name__ == "__main__":
    main()
