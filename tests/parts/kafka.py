"""A real Apache Kafka broker in KRaft mode, or the one of KAFKA_BOOTSTRAP (tests make topics there)."""

from __future__ import annotations

import base64
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import NoReturn

from parts.certificates import server_certificate
from parts.packages import CannotGet, cache_folder, locked
from parts.process import PartFailed, Process, answers, free_port
from parts.report import ran, skip_part

VERSION = "4.3.1"
"""kafka-clients 4.4 is not served yet."""
RESOLVE_SECONDS = 240

_POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>sixfold.tests</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""

_SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},SAFE://127.0.0.1:{safe},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SAFE://127.0.0.1:{safe}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SAFE:SASL_SSL
listener.name.safe.ssl.keystore.type=PEM
listener.name.safe.ssl.keystore.location={folder}/keystore.pem
listener.name.safe.sasl.enabled.mechanisms=PLAIN
listener.name.safe.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
  required user_{user}="{password}";
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=800
auto.create.topics.enable=false
"""


class OwnKafka:
    """A broker on a free port. `stop`, `kill` and `start` are as often as a test likes; its log stays.

    On `safe_port` it speaks TLS with a certificate of `ca`, and wants `user` and `password`.
    """

    def __init__(self, java: Path, jars: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sixfold-kafka-"))
        self.port = free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.url = f"kafka://{self.bootstrap}"
        self.safe_port = free_port()
        self.user, self.password = "sixfold", secrets.token_hex(8)
        certificate = server_certificate(self.folder, "kafka")
        self.ca = certificate.certificate
        keystore = certificate.key.read_text() + certificate.certificate.read_text()
        (self.folder / "keystore.pem").write_text(keystore)
        settings = self.folder / "server.properties"
        settings.write_text(
            _SETTINGS.format(
                port=self.port,
                safe=self.safe_port,
                controller=free_port(),
                folder=self.folder,
                user=self.user,
                password=self.password,
            ),
            encoding="utf-8",
        )
        run: list[str | Path] = [
            java,
            "-Xmx256m",
            "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        ]
        run += ["-cp", f"{jars}/*"]
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        formatted = subprocess.run(
            [*run, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", settings],
            capture_output=True,
            text=True,
            timeout=60,
        )
        if formatted.returncode != 0:
            raise PartFailed(f"Kafka's storage cannot be formatted: {formatted.stderr.strip()[-300:]}")
        self._process = Process(
            [*run, "kafka.Kafka", settings],
            log=self.folder / "kafka.log",
            ready=self._answers,
            start_seconds=60,
            stop_signal=signal.SIGTERM,
        )

    def start(self) -> None:
        self._process.start()

    def stop(self) -> None:
        self._process.stop()

    def kill(self) -> None:
        self._process.kill()

    def pause(self) -> None:
        self._process.pause()

    def resume(self) -> None:
        self._process.resume()

    def clean(self) -> None:
        """Up and answering, whatever the test before did to it."""
        self.resume()
        self.start()

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        return answers(self.port) and _describes(self.bootstrap)


class GivenKafka:
    """The broker of KAFKA_BOOTSTRAP: used, not stopped."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.url = f"kafka://{bootstrap}"

    def start(self) -> None:
        return None

    def stop(self) -> NoReturn:
        skip_part("kafka", "the broker of KAFKA_BOOTSTRAP is not ours to stop; unset it")

    kill = pause = stop

    def resume(self) -> None:
        return None

    def clean(self) -> None:
        return None

    def remove(self) -> None:
        return None


def find_kafka() -> OwnKafka | GivenKafka:
    """The broker of KAFKA_BOOTSTRAP, or a new one that runs. Skips when there is none to be had."""
    if bootstrap := os.environ.get("KAFKA_BOOTSTRAP"):
        if not _describes(bootstrap):
            skip_part("kafka", "KAFKA_BOOTSTRAP is set but does not answer")
        ran("kafka")
        return GivenKafka(bootstrap)
    try:
        server = OwnKafka(_java(), _jars())
        server.start()
    except (CannotGet, PartFailed, subprocess.TimeoutExpired) as error:
        skip_part("kafka", str(error).splitlines()[0])
    ran("kafka")
    return server


def _describes(bootstrap: str) -> bool:
    from kafka import KafkaAdminClient  # only here: most runs need no broker
    from kafka.errors import KafkaError

    try:
        client = KafkaAdminClient(
            bootstrap_servers=bootstrap.split(","), bootstrap_timeout_ms=2000, request_timeout_ms=2000
        )
    except (KafkaError, OSError):
        return False
    try:
        return bool(client.describe_cluster()["brokers"])
    except (KafkaError, OSError):
        return False
    finally:
        client.close()


def _java() -> Path:
    found = shutil.which("java")
    if found is None:
        raise CannotGet("there is no java to run the broker")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, timeout=30).stderr
    number = re.search(r'version "(\d+)', said)
    if number is None or int(number.group(1)) < 17:
        raise CannotGet("the broker needs Java 17 or newer")
    return Path(found)


def _jars() -> Path:
    """The folder with the broker and all it needs, resolved once."""
    folder = cache_folder() / f"kafka-{VERSION}"
    with locked(folder.name):
        if not any(folder.glob("kafka_2.13-*.jar")):
            _resolve(folder)
    return folder


def _resolve(folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise CannotGet("there is no mvn to get the broker with")
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        (Path(scratch) / "pom.xml").write_text(_POM, encoding="utf-8")
        done = subprocess.run(
            [maven, "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={scratch}/jars"],
            cwd=scratch,
            capture_output=True,
            text=True,
            timeout=RESOLVE_SECONDS,
        )
        if done.returncode != 0 or not any(Path(scratch).glob("jars/kafka_2.13-*.jar")):
            raise CannotGet("the broker cannot be resolved with Maven")
        (Path(scratch) / "jars").rename(folder)
