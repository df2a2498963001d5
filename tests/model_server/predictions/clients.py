"""Clients that ask a whole server for predictions and tell it what was right."""

import contextlib
import json
import threading
import time
from http.client import HTTPConnection

from .conftest import until


def ready(running):
    until(lambda: running.probe("/readyz")[0] == 200, seconds=240)


class Client(threading.Thread):
    """Asks until it is told to stop or has asked often enough; every second answer gets feedback.

    A 503 asks to come again, as it says; feedback that the log has no room for is not repeated.
    """

    def __init__(self, port, jpeg, *, requests, stop):
        super().__init__()
        self.port, self.jpeg, self.requests, self.stop = port, jpeg, requests, stop
        self.answers, self.feedback, self.failures, self.seconds = {}, {}, [], []

    def run(self):
        connection = HTTPConnection("127.0.0.1", self.port, timeout=300)
        with contextlib.closing(connection):
            while len(self.answers) < self.requests and not self.stop.is_set() and not self.failures:
                self._ask(connection)

    def _ask(self, connection):
        began = time.monotonic()
        answer = self._post(connection, "/predict", self.jpeg, "image/jpeg")
        if answer is None:
            self.stop.wait(0.2)
            return
        self.seconds.append((began, time.monotonic() - began))
        self.answers[answer["uuid"]] = answer["prediction"]
        if len(self.answers) % 2:
            body = json.dumps({"uuid": answer["uuid"], "label": "fish"}).encode()
            if self._post(connection, "/feedback", body, "application/json"):
                self.feedback[answer["uuid"]] = "fish"

    def _post(self, connection, path, body, kind):
        """The answer, None where the server asks to come again."""
        try:
            headers = {"Content-Type": kind, "X-Request-Id": "of-a-test", "X-User": "ann"}
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            text = response.read()
        except OSError as error:
            self.failures.append(repr(error))
            return None
        if response.status not in {200, 202, 503}:
            self.failures.append(text.decode())
        return json.loads(text) if response.status in {200, 202} else None


def load(running, jpeg, *, clients, requests=10**9, stop=None):
    made = [
        Client(running.port, jpeg, requests=requests, stop=stop or threading.Event()) for _ in range(clients)
    ]
    for client in made:
        client.start()
    return made


def gathered(clients):
    """All answers and all feedback that was taken, once the clients are done."""
    answers, feedback = {}, {}
    for client in clients:
        client.join(timeout=240)
        assert not client.is_alive()
        assert client.failures == []
        answers |= client.answers
        feedback |= client.feedback
    return answers, feedback
