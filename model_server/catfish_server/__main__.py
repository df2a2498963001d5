"""`python -m catfish_server`: the server as a process."""

import logging
import os
import sys

from catfish_server import startup


def main() -> None:
    """Runs the server and ends the process with its exit code."""
    code = startup.main(sys.argv[1:], os.environ)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: it waits for every thread, and one may be in a forward pass that nobody needs any more.
    os._exit(code)


if __name__ == "__main__":
    main()
