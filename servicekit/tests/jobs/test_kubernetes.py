"""A launcher's URL, the manifest that follows from it by many versions of Kubernetes' schema, and frames."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from servicekit.jobs.launchers import Needs, open_launcher
from servicekit.jobs.launchers.k8s.address import Address, Secret
from servicekit.jobs.launchers.k8s.frames import HEAD, MAX_BODY, Frames, frame
from servicekit.jobs.launchers.k8s.manifest import VARIABLES, job_manifest, job_name, label

PROXY = "k8s+http://127.0.0.1:8001/jobs"
IMAGE = "registry.example/team/training-service:0.1.0"
NEEDS = Needs("ftjob-1a2b", "fine_tuning", "acme", 8 << 30, 3600)


def manifest(options: str = "", needs: Needs = NEEDS, **environment: str) -> dict[str, Any]:
    url = f"{PROXY}?image={IMAGE}{options}"
    return job_manifest("ftjob-1a2b-3", needs, Address.parse(url), environment)


@pytest.mark.parametrize("version", ["1.27", "1.29", "1.31", "1.33", "1.35", "1.37"])
@pytest.mark.parametrize(
    "options", ["", "&gpus=2&cpus=0.5&disk=0.5&pull=registry", "&secret=A:b/c&secret=D_E:f.g/h.i"]
)
def test_follows_kubernetes_schema(version: str, options: str) -> None:
    kubernetes_validate.validate(manifest(options, PLACES="{}"), version, strict=True)
    kubernetes_validate.validate(manifest(options, Needs()), version, strict=True)


def test_the_schema_is_a_real_one() -> None:
    wrong = manifest()
    wrong["spec"]["template"]["spec"]["containers"][0]["resources"]["memory"] = "1Gi"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.35", strict=True)


def test_a_job_may_do_nothing_but_its_work() -> None:
    made = manifest("&cpus=2&gpus=1&disk=10", PLACES="{}")
    spec, pod = made["spec"], made["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (spec["backoffLimit"], pod["restartPolicy"]) == (0, "Never"), "leases decide who tries again"
    assert spec["activeDeadlineSeconds"] == 3600 + 120 + 120
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    closed = container["securityContext"]
    assert closed["readOnlyRootFilesystem"] is True
    assert (closed["allowPrivilegeEscalation"], closed["privileged"]) == (False, False)
    assert closed["capabilities"] == {"drop": ["ALL"]}
    assert "hostNetwork" not in pod
    assert pod["volumes"] == [{"name": "work", "emptyDir": {"sizeLimit": "10240Mi"}}]
    assert container["resources"]["limits"] == {
        "cpu": "2000m",
        "memory": f"{8 * 1024 + 256}Mi",
        "ephemeral-storage": f"{11 * 1024}Mi",
        "nvidia.com/gpu": "1",
    }
    assert container["resources"]["requests"] == container["resources"]["limits"]
    labels = made["metadata"]["labels"]
    assert labels["sixfold/job"] == "ftjob-1a2b"
    assert spec["template"]["metadata"]["labels"] == labels
    assert "acme" not in json.dumps(made), "tenants stand in it as digests"


def test_secrets_are_referred_to_and_never_written() -> None:
    made = manifest("&secret=MLFLOW_TRACKING_PASSWORD:mlflow/password", PLACES="{}")
    (container,) = made["spec"]["template"]["spec"]["containers"]
    by_name = {each["name"]: each for each in container["env"]}
    source = {"secretKeyRef": {"name": "mlflow", "key": "password"}}
    assert by_name["MLFLOW_TRACKING_PASSWORD"] == {
        "name": "MLFLOW_TRACKING_PASSWORD",
        "valueFrom": source,
    }
    assert by_name[VARIABLES]["value"] == "MLFLOW_TRACKING_PASSWORD,PLACES"


def test_an_environment_with_a_password_is_refused(tmp_path: Path) -> None:
    given = {"PLACES": '{"tracking": "https://ada:s3cret@mlflow.example"}'}
    with pytest.raises(ValueError, match="PLACES holds a password") as caught:
        open_launcher(f"{PROXY}?image={IMAGE}", folder=tmp_path, environment=given)
    assert "s3cret" not in str(caught.value)
    open_launcher(f"{PROXY}?image={IMAGE}", folder=tmp_path, environment={"URL": "http://mlflow:5000"})


@pytest.mark.parametrize(
    "url",
    [
        PROXY,
        f"{PROXY}?image=",
        f"{PROXY}?image=a b",
        f"k8s+http://127.0.0.1:8001/?image={IMAGE}",
        f"k8s+http://127.0.0.1:8001/A_B?image={IMAGE}",
        f"k8s+http://10.0.0.1:8001/jobs?image={IMAGE}",
        f"k8s://cluster.example:6443/jobs?image={IMAGE}",
        f"k8s://me:token@cluster.example:6443/jobs?image={IMAGE}",
        f"{PROXY}?image={IMAGE}&gpus=-1",
        f"{PROXY}?image={IMAGE}&cpus=0",
        f"{PROXY}?image={IMAGE}&user=0",
        f"{PROXY}?image={IMAGE}&disk=x",
        f"{PROXY}?image={IMAGE}&cpus=1&cpus=2",
        f"{PROXY}?image={IMAGE}&fast=1",
        f"{PROXY}?image={IMAGE}&pull=A/B",
        f"{PROXY}?image={IMAGE}&secret=A",
        f"{PROXY}?image={IMAGE}&secret=A:b",
    ],
)
def test_what_leads_to_no_cluster_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        open_launcher(url, folder=tmp_path)


def test_in_a_cluster_its_own_account_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ValueError, match="in a cluster"):
        Address.parse(f"k8s:///jobs?image={IMAGE}")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    found = Address.parse(f"k8s:///jobs?image={IMAGE}&secret=A:b/c")
    assert (found.api, found.namespace) == ("https://10.0.0.1:6443", "jobs")
    assert found.token_file == Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    assert found.ca_file == Path("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
    assert found.secrets == (Secret("A", "b", "c"),)
    elsewhere = Address.parse(f"k8s://c.example:6443/jobs?image={IMAGE}&token_file=/t&ca_file=/c")
    assert (elsewhere.api, elsewhere.ca_file) == ("https://c.example:6443", Path("/c"))


def test_names_are_dns_labels_and_stay_apart() -> None:
    assert job_name("ftjob-1a2b-3") == "ftjob-1a2b-3"
    odd = [job_name(name) for name in ("evalrun_1-1", "evalrun-1-1", "a" * 80, "a" * 81, "1-a", "Ab")]
    assert len(set(odd)) == len(odd)
    for name in odd:
        assert len(name) <= 52
        assert name[0].isalpha()
        assert name == name.lower().strip("-")
        assert "_" not in name
    assert label("evalrun_1/x") == "evalrun_1-x"
    assert label("---") == "none"


def test_frames_come_whole_however_they_were_cut() -> None:
    sent = [({"t": "line"}, b"one\n"), ({"t": "answer", "id": 7}, b"\0" * 70_000), ({"t": "ping"}, b"")]
    stream = b"".join(frame(header, body) for header, body in sent)
    for size in (1, 7, 4096, len(stream)):
        frames, got = Frames(), []
        for start in range(0, len(stream), size):
            got += list(frames.feed(stream[start : start + size]))
        assert got == sent


@pytest.mark.parametrize(
    "bad",
    [HEAD.pack(1 << 20, 0), HEAD.pack(2, MAX_BODY + 1), HEAD.pack(2, 0) + b"[]", HEAD.pack(2, 0) + b"{}"],
)
def test_what_is_no_frame_is_refused_before_it_is_held(bad: bytes) -> None:
    with pytest.raises(ValueError):
        list(Frames().feed(bad))
    with pytest.raises(ValueError):
        frame({"t": "line"}, bytes(MAX_BODY + 1))


def test_a_manifest_can_be_printed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "servicekit.jobs.launchers.k8s"]
    url = f"{PROXY}?image={IMAGE}&gpus=1"
    done = subprocess.run(
        [*command, url, "--seconds", "60"], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert done.returncode == 0, done.stderr
    kubernetes_validate.validate(json.loads(done.stdout), "1.35", strict=True)
    bad = subprocess.run([*command, PROXY], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert "image" in bad.stderr
