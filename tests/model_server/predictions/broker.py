"""A real Kafka broker on loopback, which is its own controller (KRaft): Apache's jars by Maven, in the cache."""

import base64
import hashlib
import signal
import subprocess
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from localcluster import build, prerequisites
from localcluster.ports import free_ports

PROJECT = Path(__file__).with_name("kafka.pom.xml")
JVM = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.net.preferIPv4Stack=true"]


@dataclass
class Broker:
    """One broker; its data survive a stop.

    Attributes:
        users: names and passwords where clients must log in (SASL/PLAIN).
    """

    directory: Path
    users: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        self.port, controller = free_ports(2)
        self.address = f"127.0.0.1:{self.port}"
        self._process = None
        self._settings = self.directory / "server.properties"
        self._settings.write_text(self._properties(controller))
        format_it = self._command("kafka.tools.StorageTool", "format", "-t", _id(), "-c", self._settings)
        subprocess.run(format_it, capture_output=True, check=True)

    def start(self):
        """Starts it and waits until it answers."""
        with (self.directory / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command("kafka.Kafka", self._settings), stdout=log, stderr=log, cwd=self.directory
            )
        deadline = monotonic() + 90
        while not self._answers():
            assert self._process.poll() is None, self._said()
            assert monotonic() < deadline, self._said()

    def stop(self):
        """Ends it as a lost machine does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)
            self._process = None

    def pause(self):
        """Lets it answer nothing, with its connections open."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self):
        self._process.send_signal(signal.SIGCONT)

    def create(self, topic, *, partitions=3, **config):
        admin = self._admin()  # kept: what is asked ends with it
        topics = [NewTopic(topic, num_partitions=partitions, replication_factor=1, config=config)]
        (made,) = admin.create_topics(topics).values()
        made.result(timeout=30)

    def client(self):
        """Properties with which tests are let in."""
        properties = {"bootstrap.servers": self.address}
        for name, password in list(self.users.items())[:1]:
            properties |= {
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanism": "PLAIN",
                "sasl.username": name,
                "sasl.password": password,
            }
        return properties

    def _admin(self):
        return AdminClient(self.client() | {"log_level": 0})

    def _answers(self):
        try:
            return bool(self._admin().list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    def _said(self):
        return (self.directory / "broker.log").read_text()[-3000:]

    def _command(self, *words):
        return ["java", *JVM, "-cp", f"{jars()}/*", *map(str, words)]

    def _properties(self, controller):
        protocol = "SASL_PLAINTEXT" if self.users else "PLAINTEXT"
        lines = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"CLIENTS://{self.address},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"CLIENTS://{self.address}",
            "listener.security.protocol.map": f"CONTROLLER:PLAINTEXT,CLIENTS:{protocol},INSIDE:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "CLIENTS",
            "log.dirs": str(self.directory / "data"),
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": "0",
        }
        if self.users:
            module = "org.apache.kafka.common.security.plain.PlainLoginModule required"
            known = " ".join(f'user_{name}="{password}"' for name, password in self.users.items())
            name, password = next(iter(self.users.items()))
            lines |= {
                "sasl.enabled.mechanisms": "PLAIN",
                "sasl.mechanism.inter.broker.protocol": "PLAIN",
                "listener.name.clients.plain.sasl.jaas.config": (
                    f'{module} username="{name}" password="{password}" {known};'
                ),
            }
        return "".join(f"{name}={value}\n" for name, value in lines.items())


@contextmanager
def broker(directory, **options):
    """A broker that runs inside of the block."""
    made = Broker(directory, **options)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def jars():
    """The folder with the broker's jars. Maven checks each against the digest that its repository gives."""

    def make(target):
        prerequisites.require({"java": "default-jre-headless", "mvn": "maven"})
        copy = ["dependency:copy-dependencies", f"-DoutputDirectory={target}", "-DincludeScope=runtime"]
        subprocess.run(
            ["mvn", "--quiet", "--batch-mode", "--strict-checksums", f"--file={PROJECT}", *copy], check=True
        )

    name = f"kafka-{hashlib.sha256(PROJECT.read_bytes()).hexdigest()[:10]}"
    return build.once(build.cache() / "bin" / name, make)


def _id():
    """A cluster's id: a UUID in Kafka's base64."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A", 1)
