"""`hil` in a process of its own, for `outpost.run` and `outpost.sweep`. It stops gently when its standard input ends: when it is
told to, and also when the process that has started it is gone."""

import os
import signal
import sys
import threading

from ._outpost import main as hil


def main() -> None:
    """Runs `hil` with this process's arguments."""
    # Until `hil` listens for it.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_stop_at_the_end_of_input, daemon=True).start()
    sys.exit(hil(sys.argv[1:]))


def _stop_at_the_end_of_input() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
