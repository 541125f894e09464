"""deploy/kubernetes: by Kubernetes' own schema, and no more rights than the launcher's calls need."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from servicekit.jobs.launchers import Needs
from servicekit.jobs.launchers.k8s import api
from servicekit.jobs.launchers.k8s.address import Address
from servicekit.jobs.launchers.k8s.manifest import job_manifest


@pytest.fixture(scope="module")
def objects(root: Path) -> dict[str, Any]:
    """By kind; there is one of each."""
    found = list(yaml.safe_load_all((root / "deploy/kubernetes/jobs.yaml").read_text()))
    assert len({each["kind"] for each in found}) == len(found)
    return {each["kind"]: each for each in found}


@pytest.mark.parametrize("version", ["1.27", "1.31", "1.35", "1.37"])
def test_follows_kubernetes_schema(objects: dict[str, Any], version: str) -> None:
    for each in objects.values():
        kubernetes_validate.validate(each, version, strict=True)


def test_the_account_may_do_what_the_launcher_calls_and_nothing_else(objects: dict[str, Any]) -> None:
    allowed = {
        (group, resource): set(rule["verbs"])
        for rule in objects["Role"]["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert allowed == {
        ("batch", "jobs"): {"create", "delete"},
        ("", "pods"): {"list"},
        ("", "pods/exec"): {"create", "get"},
    }
    calls = re.findall(r'_call\("(\w+)", (.*?)[,)]', inspect.getsource(api))
    assert [method for method, _ in calls] == ["POST", "GET", "DELETE"], "each has its verb above"
    (subject,) = objects["RoleBinding"]["subjects"]
    account = objects["ServiceAccount"]["metadata"]
    assert (subject["name"], subject["namespace"]) == (account["name"], account["namespace"])
    assert objects["RoleBinding"]["roleRef"]["name"] == objects["Role"]["metadata"]["name"]
    assert objects["Role"]["metadata"]["namespace"] == objects["Namespace"]["metadata"]["name"]


def test_the_fence_is_around_the_pods_that_are_submitted(objects: dict[str, Any]) -> None:
    namespace = objects["Namespace"]["metadata"]["name"]
    address = Address.parse(f"k8s+http://127.0.0.1:8001/{namespace}?image=registry.example/x:1")
    manifest = job_manifest("ftjob-1-1", Needs("ftjob-1", "fine_tuning", "acme", 1 << 30, 60), address, {})
    policy = objects["NetworkPolicy"]["spec"]
    labels = manifest["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert "ingress" not in policy
    # Pod security "restricted", as the namespace asks for it.
    assert objects["Namespace"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    pod = manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
    assert {"emptyDir"} == {name for volume in pod["volumes"] for name in volume if name != "name"}
    # The quota counts both; a pod without them would not be let in.
    assert {"cpu", "memory"} <= set(container["resources"]["requests"])
    assert {"cpu", "memory"} <= set(container["resources"]["limits"])
