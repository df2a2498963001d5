"""Standard output, which the access log and the prediction log may share."""

import threading

whole_lines = threading.Lock()
"""Held by whoever writes there, from the beginning of a line to its end: a pipe takes only 4 KiB at once, and a stream
flushes its buffer anywhere."""
