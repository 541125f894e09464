"""docker-compose.yml: accepted by the real tool and the schema, and as closed as it says it is."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WITH_WORK = ("retrieval-service", "training-service", "eval-service")
ONE_SHOT = {"prepare", "databases", "cli"}
PROFILES = ("--profile", "gpu", "--profile", "tools")
SECRET_WORDS = re.compile(r"PASSWORD|SECRET|TOKEN|_URL$|_KEY$")


def config(
    cli: list[str], root: Path, env: dict[str, str], *options: str
) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SIXFOLD_")}
    command = [*cli, "--env-file", "/dev/null", "-f", "docker-compose.yml", *options, "config"]
    return subprocess.run(
        [*command, "--format", "json"],
        cwd=root,
        env=clean | env,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_follows_the_compose_schema(root: Path, tool: Callable[[str], str]) -> None:
    command = [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("profiles", [(), PROFILES], ids=["plain", "every profile"])
def test_docker_compose_accepts_it(
    compose_cli: list[str], root: Path, initialised: dict[str, str], profiles: tuple[str, ...]
) -> None:
    done = config(compose_cli, root, initialised, *profiles)
    assert done.returncode == 0, done.stderr
    services = json.loads(done.stdout)["services"]
    assert ("triton" in services) == bool(profiles)
    gateway = services["gateway"]["environment"]
    assert initialised["SIXFOLD_REDIS_PASSWORD"] in gateway["SIXFOLD_CACHE_URL"]
    assert gateway["SIXFOLD_STORE_URL"].startswith("postgresql://sixfold:")
    for service in ("retrieval-service", "training-service", "eval-service"):
        environment = services[service]["environment"]
        for name in ("SIXFOLD_BUS_URL", "SIXFOLD_OBJECTS_URL", "SIXFOLD_OBJECTS_KEY_FILE"):
            assert gateway[name] == environment[name], "what one writes the other reads"
            assert " " not in gateway[name]
    models = services["model-service"]["environment"]
    assert models["SIXFOLD_OBJECTS_URL"] == gateway["SIXFOLD_OBJECTS_URL"], "trained models come from there"
    assert models["SIXFOLD_OBJECTS_KEY_FILE"] == gateway["SIXFOLD_OBJECTS_KEY_FILE"]
    mlflow = services["mlflow"]["environment"]
    assert mlflow["AWS_SECRET_ACCESS_KEY"] == initialised["SIXFOLD_MINIO_PASSWORD"]
    assert not any(" " in value for value in mlflow.values())
    assert initialised["SIXFOLD_MINIO_PASSWORD"] in gateway["SIXFOLD_OBJECTS_URL"]
    assert initialised["SIXFOLD_KAFKA_PASSWORD"] in gateway["SIXFOLD_BUS_URL"]
    assert services["gateway"]["user"] == f"{initialised['SIXFOLD_UID']}:0"


def test_refuses_to_start_without_each_secret(
    compose_cli: list[str], root: Path, initialised: dict[str, str]
) -> None:
    assert len(initialised) == 11
    for name in initialised:
        missing = {key: value for key, value in initialised.items() if key != name}
        done = config(compose_cli, root, missing)
        assert done.returncode != 0, f"started without {name}"
        assert name in done.stderr
        assert "deploy/init.sh" in done.stderr


def test_init_makes_private_random_secrets_once(root: Path, tmp_path: Path) -> None:
    def init(name: str) -> dict[str, str]:
        env = {**os.environ, "SIXFOLD_SECRETS": str(tmp_path / name / "secrets")}
        subprocess.run(
            ["sh", "deploy/init.sh", str(tmp_path / name / "env")], cwd=root, env=env, check=True, timeout=20
        )
        files = [path for path in (tmp_path / name).rglob("*") if path.is_file()]
        assert {path.name for path in files} == {"env", "jwt.key", "service.key", "objects.key"}
        assert all(path.stat().st_mode & 0o077 == 0 for path in files)
        assert (tmp_path / name / "secrets").stat().st_mode & 0o077 == 0
        return {path.name: path.read_text() for path in files}

    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first = init("one")
    assert init("one") == first, "a second run changes nothing"
    second = init("two")
    for name in ("jwt.key", "service.key", "objects.key"):
        assert re.fullmatch(r"[0-9a-f]{64}", first[name])
        assert first[name] != second[name]
    passwords = [line for text in (first, second) for line in text["env"].splitlines() if "PASSWORD" in line]
    assert len(set(passwords)) == 18
    assert "SIXFOLD_UID=0\n" not in first["env"]


def test_init_adds_what_an_older_env_lacks_and_keeps_the_rest(root: Path, tmp_path: Path) -> None:
    env = {**os.environ, "SIXFOLD_SECRETS": str(tmp_path / "secrets")}
    file = tmp_path / "env"
    file.write_text("# mine\nSIXFOLD_POSTGRES_PASSWORD=mine\nSIXFOLD_PORT=9090\n")
    subprocess.run(["sh", "deploy/init.sh", str(file)], cwd=root, env=env, check=True, timeout=20)
    text = file.read_text()
    assert text.startswith("# mine\nSIXFOLD_POSTGRES_PASSWORD=mine\nSIXFOLD_PORT=9090\n")
    assert text.count("SIXFOLD_POSTGRES_PASSWORD=") == 1
    assert re.search(r"^SIXFOLD_POSTGRES_MLFLOW_PASSWORD=[0-9a-f]{48}$", text, re.MULTILINE)


def test_the_example_names_what_init_writes(root: Path, initialised: dict[str, str]) -> None:
    example = (root / ".env.example").read_text()
    assert {line.rstrip("=") for line in example.splitlines() if re.fullmatch(r"[A-Z_]+=", line)} == set(
        initialised
    )


def test_no_secret_has_a_default(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for key, value in service.get("environment", {}).items():
            if (SECRET_WORDS.search(key) and "://" not in str(value)) or "@" in str(value):
                assert "${" in value, f"{name}: {key} is written into the file"
            for variable, default in re.findall(r"\$\{(\w*(?:PASSWORD|SECRET)\w*)(:\?|:-|-|\})", str(value)):
                assert default == ":?", f"{name}: {variable} may be empty"
    for secret in compose["secrets"].values():
        assert ":?" in secret["file"]


def test_only_the_gateway_and_grafana_are_published_and_on_loopback(compose: dict[str, Any]) -> None:
    published = {name: s["ports"] for name, s in compose["services"].items() if s.get("ports")}
    assert set(published) == {"gateway", "grafana"}
    for ports in published.values():
        assert all(port.startswith("127.0.0.1:") for port in ports)
    assert {s.get("network_mode", "none") for s in compose["services"].values()} == {"none"}
    assert all(net["internal"] for name, net in compose["networks"].items() if name != "front")
    on_front = {name for name, s in compose["services"].items() if "front" in s.get("networks", [])}
    assert on_front == set(published)


def test_parts_without_a_password_are_reached_by_those_that_need_them_only(compose: dict[str, Any]) -> None:
    on = {
        network: {name for name, s in compose["services"].items() if network in s.get("networks", [])}
        for network in ("vectors", "events", "tracking")
    }
    assert on == {
        "vectors": {"chroma", "retrieval-service"},
        "events": {"kafka", "gateway", "retrieval-service", "training-service", "eval-service"},
        "tracking": {"mlflow", "training-service", "postgres", "minio"},
    }
    assert compose["services"]["mlflow"]["networks"] == ["tracking"]


def test_each_service_has_records_of_its_own(compose: dict[str, Any]) -> None:
    def database(service: str, name: str) -> tuple[str, str]:
        url = compose["services"][service]["environment"][name]
        found = re.fullmatch(r"postgresql(?:\+psycopg2)?://(\w+):.*@postgres:5432/(\w+)", url)
        assert found
        return found[1], found[2]

    given = [
        database("gateway", "SIXFOLD_STORE_URL"),
        database("retrieval-service", "SIXFOLD_RETRIEVAL_SERVICE_STORE_URL"),
        database("training-service", "SIXFOLD_TRAINING_SERVICE_STORE_URL"),
        database("eval-service", "SIXFOLD_EVAL_SERVICE_STORE_URL"),
        database("mlflow", "MLFLOW_BACKEND_STORE_URI"),
    ]
    assert len({role for role, _ in given}) == len(given), "roles"
    assert len({name for _, name in given}) == len(given), "databases"


def test_every_service_is_hardened(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["init"] is True, name
        assert not service.get("privileged"), name
        assert not service["user"].startswith(("0", "root")), name
        assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"]), name
        assert service["logging"]["options"]["max-size"], name
        assert service["stop_grace_period"], name
        for volume in service.get("volumes", []):
            assert not volume.startswith("./") or volume.endswith(":ro"), f"{name} may write to {volume}"
            assert "docker.sock" not in volume


def test_every_service_tells_how_it_is(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        check = service["healthcheck"]
        if name in ONE_SHOT:
            assert check == {"disable": True}
            assert service["restart"] == "no"
        else:
            assert check["test"][0] in ("CMD", "CMD-SHELL"), name
            assert {"interval", "timeout", "retries"} <= set(check), name
            assert not any("curl" in str(word) for word in check["test"]), f"{name}: slim images have no curl"
        for dependency, rule in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if dependency in ONE_SHOT else "service_healthy"
            assert rule["condition"] == expected, f"{name} → {dependency}"


def test_every_image_is_pinned(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        tag = service["image"].split(":", 1)[1]
        assert re.search(r"\d+\.\d+", tag), f"{name} runs {service['image']}"
        assert "latest" not in tag


def test_every_file_it_mounts_or_builds_from_exists(compose: dict[str, Any], root: Path) -> None:
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            if source := re.match(r"(?:\$\{\w+:-)?(\./[^:}]+)", volume):
                assert (root / source[1]).exists(), f"{name} mounts {source[1]}"
            elif "${" not in volume:
                assert volume.split(":")[0] in compose["volumes"], f"{name} mounts {volume}"
        if build := service.get("build"):
            assert (root / build["dockerfile"]).is_file(), name


def test_drains_before_it_is_killed(compose: dict[str, Any]) -> None:
    for name in ("gateway", "model-service", "model-service-gpu", *WITH_WORK):
        service = compose["services"][name]
        drain = float(service["environment"]["SIXFOLD_DRAIN_SECONDS"])
        assert float(service["stop_grace_period"].removesuffix("s")) > drain


def test_a_job_reaches_its_own_limit_before_its_container_does(compose: dict[str, Any]) -> None:
    for name, prefix in (("training-service", "TRAINING"), ("eval-service", "EVAL")):
        service = compose["services"][name]
        environment = service["environment"]
        at_once = (
            environment.get("SIXFOLD_TRAINING_SERVICE_WORKERS") or environment["SIXFOLD_EVAL_SERVICE_SLOTS"]
        )
        jobs = int(at_once) * int(environment[f"SIXFOLD_{prefix}_SERVICE_JOB_MEMORY_BYTES"])
        limit = int(service["deploy"]["resources"]["limits"]["memory"].removesuffix("G")) * 2**30
        assert limit - jobs >= 2**29, f"{name}: nothing is left for the service itself"
