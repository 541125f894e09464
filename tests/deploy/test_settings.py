"""Every setting that the deployment gives is one that a service reads, and the files it mounts are valid."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic_settings import BaseSettings

from eval_service.gate.policy import read as read_policy
from eval_service.settings import EvalServiceSettings
from gateway.config.file import parse_config
from gateway.settings import GatewaySettings
from model_service.adapters.remote.options import read_options
from model_service.adapters.triton.address import Address
from model_service.adapters.triton.engine import TritonOptions
from model_service.models.config import load_config
from model_service.settings import ModelServiceSettings
from retrieval_service.settings import RetrievalServiceSettings
from servicekit.bus import open_bus
from servicekit.objects import open_objects
from servicekit.settings import env_name
from training_service.settings import TrainingServiceSettings

SETTINGS: dict[str, type[BaseSettings]] = {
    "gateway": GatewaySettings,
    "model-service": ModelServiceSettings,
    "model-service-gpu": ModelServiceSettings,
    "prepare": ModelServiceSettings,
    "retrieval-service": RetrievalServiceSettings,
    "training-service": TrainingServiceSettings,
    "eval-service": EvalServiceSettings,
}


def names(cls: type[BaseSettings]) -> set[str]:
    return {env_name(cls, name, info) for name, info in cls.model_fields.items()}


@pytest.mark.parametrize("service", SETTINGS)
def test_every_variable_is_a_setting_of_its_service(compose: dict[str, Any], service: str) -> None:
    given = {name for name in compose["services"][service]["environment"] if name.startswith("SIXFOLD_")}
    assert given, "settings are given by the environment"
    assert given <= names(SETTINGS[service])


@pytest.mark.parametrize(
    "service", ["gateway", "model-service", "retrieval-service", "training-service", "eval-service"]
)
def test_the_services_accept_their_settings(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    for name, value in compose["services"][service]["environment"].items():
        filled = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value))
        monkeypatch.setenv(name, re.sub(r"\$\{\w+:\?[^}]*\}", "0123abcd", filled))
    settings = SETTINGS[service]()
    listening = {name: str(value) for name, value in settings.model_dump().items()}
    assert any("0.0.0.0" in value for value in listening.values()), "a container's loopback reaches nobody"


def test_the_scale_parts_are_chosen(compose: dict[str, Any]) -> None:
    gateway = compose["services"]["gateway"]["environment"]
    assert gateway["SIXFOLD_CACHE_URL"].startswith("redis://")
    assert gateway["SIXFOLD_STORE_URL"].startswith("postgresql://")
    assert int(re.findall(r"\d+", gateway["SIXFOLD_GATEWAY_WORKERS"])[-1]) > 1
    retrieval = compose["services"]["retrieval-service"]["environment"]
    assert retrieval["SIXFOLD_RETRIEVAL_SERVICE_STORE_URL"].startswith("postgresql://")
    assert retrieval["SIXFOLD_RETRIEVAL_SERVICE_VECTORS_URL"] == "chroma+http://chroma:8000"
    training = compose["services"]["training-service"]["environment"]
    judging = compose["services"]["eval-service"]["environment"]
    assert training["SIXFOLD_MLFLOW_URL"] == "http://mlflow:5000"
    assert training["SIXFOLD_TRAINING_SERVICE_STORE_URL"].startswith("postgresql://")
    assert judging["SIXFOLD_EVAL_SERVICE_STORE_URL"].startswith("postgresql://")
    assert compose["services"]["mlflow"]["environment"]["MLFLOW_ARTIFACTS_DESTINATION"].startswith("s3://")
    for service in (gateway, retrieval, training, judging):
        assert service["SIXFOLD_BUS_URL"].startswith("kafka://")
        assert service["SIXFOLD_OBJECTS_URL"].startswith("s3://sixfold/")


def test_the_services_can_open_what_they_are_given(compose: dict[str, Any]) -> None:
    """URLs that no part takes fail when they are opened, long before anybody connects."""
    filled = {
        name: re.sub(r"\$\{\w+:\?[^}]*\}", "0123abcd", str(value))
        for name, value in compose["services"]["retrieval-service"]["environment"].items()
    }
    open_objects(filled["SIXFOLD_OBJECTS_URL"], key=bytes(32))
    open_bus(filled["SIXFOLD_BUS_URL"])


def test_the_mounted_routes_are_valid_and_lead_somewhere(root: Path) -> None:
    config = parse_config((root / "deploy/config/gateway.yaml").read_text())
    assert config.routes
    for route in config.routes.values():
        assert {target.model for target in route.targets} <= {"smollm2-135m-instruct", "all-minilm-l6-v2"}


def test_services_are_asked_where_they_listen(compose: dict[str, Any]) -> None:
    gateway = compose["services"]["gateway"]["environment"]
    for name in ("retrieval", "training", "eval"):
        listen = compose["services"][f"{name}-service"]["environment"][
            f"SIXFOLD_{name.upper()}_SERVICE_LISTEN"
        ]
        asked = gateway[f"SIXFOLD_GATEWAY_{name.upper()}_SERVICE"]
        assert asked == f"{name}-service:{listen.rsplit(':', 1)[1]}"


def test_the_mounted_policy_is_the_services_own_template(compose: dict[str, Any], root: Path) -> None:
    folder = root / "deploy/config/policies"
    policy, text = read_policy(folder, "default")
    assert policy.rules
    assert text == (root / "eval-service/src/eval_service/gate/default.yaml").read_text()
    service = compose["services"]["eval-service"]
    where = service["environment"]["SIXFOLD_EVAL_SERVICE_POLICIES_FOLDER"]
    assert f"./deploy/config/policies:{where}:ro" in service["volumes"]


def test_the_mounted_gpu_models_are_valid(root: Path, compose: dict[str, Any]) -> None:
    path = root / "deploy/config/models.gpu.yaml"
    models = load_config(path, Path("/var/lib/sixfold"))
    hosts = {re.match(r"triton://([\w-]+):(\d+)/", model.engine) for model in models} - {None}
    assert {(match[1], match[2]) for match in hosts if match} == {("triton", "8001")}
    assert "--grpc-port=8001" in compose["services"]["triton"]["command"]
    config = compose["services"]["model-service-gpu"]["environment"]["SIXFOLD_MODEL_SERVICE_CONFIG"]
    assert config == f"/etc/sixfold/{path.name}"
    for model in models:
        if model.scheme == "triton":
            Address.parse(model.engine)
            read_options(TritonOptions, model.name, model.options)


def test_the_image_carries_the_weights_that_an_installation_has(compose: dict[str, Any], root: Path) -> None:
    weights = compose["services"]["model-service"]["build"]["args"]["WEIGHTS"].split()
    installed = re.search(r"^WEIGHTS = \((.*)\)$", (root / "scripts/install.py").read_text(), re.MULTILINE)
    assert installed is not None
    pinned = re.findall(r'"([^"]+)"', installed[1])
    assert weights == pinned
    bases = TrainingServiceSettings.model_fields["bases"].default.values()
    needed = {url.removeprefix("package://") for url in bases}
    trained = compose["services"]["training-service"]["build"]["args"]["WEIGHTS"].split()
    assert {each.split("==")[0] for each in trained} == needed
    assert set(trained) <= set(pinned)
