"""`python -m catfish_server`: the server as a process."""

import logging
import os
import signal
import sys


def main() -> None:
    """Runs the server and ends the process with its exit code."""
    # Before anything that takes a while to import: the first process of a container does not end by a signal that it
    # has no handler for, so a pod deleted at that moment would stay for the whole of its grace period.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    from catfish_server import startup  # noqa: PLC0415 (as said)

    code = startup.main(sys.argv[1:], os.environ)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: it waits for every thread, and one may be in a forward pass that nobody needs any more.
    os._exit(code)


if __name__ == "__main__":
    main()
