"""The manifest of one attempt: a Job that may do nothing but its work.

Which attempt counts is decided by leases and fences, so the cluster never tries again by itself.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from typing import Any

from servicekit.jobs.launchers.base import Needs
from servicekit.jobs.launchers.k8s.address import Address

CONTAINER = "job"
FOLDER = "/work"
VARIABLES = "SIXFOLD_JOB_VARIABLES"
"""Names of what the job itself finds in its environment."""
POD = "servicekit.jobs.launchers.k8s.pod"
_MEBI = 1024**2
_OWN_MEMORY = 256 * _MEBI
"""For the process beside the job's. A job over its limit is ended by its worker, which can say why."""
_SLACK_SECONDS = 120
_KEPT_SECONDS = 300
_LONGEST = 52


def job_manifest(name: str, needs: Needs, address: Address, environment: Mapping[str, str]) -> dict[str, Any]:
    """A `batch/v1` Job. `environment` stands in it as it is; secrets are only referred to."""
    labels = {
        "app.kubernetes.io/name": "sixfold-job",
        "app.kubernetes.io/managed-by": "sixfold",
        "sixfold/job": label(needs.job or name),
        "sixfold/kind": label(needs.kind or "job"),
        "sixfold/tenant": hashlib.sha256(needs.tenant.encode()).hexdigest()[:16],
    }
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": address.user,
            "runAsGroup": address.user,
            "fsGroup": address.user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(needs, address, environment)],
        "volumes": [{"name": "work", "emptyDir": {"sizeLimit": _gib(address.disk_gib)}}],
    }
    if address.pull_secret:
        pod["imagePullSecrets"] = [{"name": address.pull_secret}]
    spec: dict[str, Any] = {
        "backoffLimit": 0,
        "completions": 1,
        "parallelism": 1,
        "ttlSecondsAfterFinished": _KEPT_SECONDS,
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    if needs.seconds:
        spec["activeDeadlineSeconds"] = math.ceil(needs.seconds + address.start_seconds + _SLACK_SECONDS)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job_name(name), "namespace": address.namespace, "labels": labels},
        "spec": spec,
    }


def _container(needs: Needs, address: Address, environment: Mapping[str, str]) -> dict[str, Any]:
    own = {"HOME": FOLDER, "TMPDIR": FOLDER, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    names = sorted({*environment, *(secret.variable for secret in address.secrets)})
    given = {**own, **environment, VARIABLES: ",".join(names)}
    variables: list[dict[str, Any]] = [{"name": name, "value": given[name]} for name in sorted(given)]
    for secret in address.secrets:
        source = {"secretKeyRef": {"name": secret.name, "key": secret.key}}
        variables.append({"name": secret.variable, "valueFrom": source})
    resources = {"cpu": f"{round(address.cpus * 1000)}m", "ephemeral-storage": _gib(address.disk_gib + 1)}
    if needs.memory_bytes:
        resources["memory"] = f"{math.ceil((needs.memory_bytes + _OWN_MEMORY) / _MEBI)}Mi"
    if address.gpus:
        resources["nvidia.com/gpu"] = str(address.gpus)
    return {
        "name": CONTAINER,
        "image": address.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", POD, "keep", f"{address.start_seconds:g}"],
        "workingDir": FOLDER,
        "env": variables,
        # Asked for whole: a training that is moved for want of memory has lost an interval for nothing.
        "resources": {"requests": resources, "limits": dict(resources)},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "work", "mountPath": FOLDER}],
    }


def job_name(name: str) -> str:
    """As a DNS label with room for what the cluster adds; one that had to change ends with its digest."""
    plain = re.sub(r"[^a-z0-9-]", "-", name.lower()).strip("-")
    if plain == name and len(plain) <= _LONGEST and not plain[:1].isdigit():
        return plain
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"j-{plain[: _LONGEST - 11].strip('-')}-{digest}"


def label(value: str) -> str:
    """As a label's value."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", value)[:63].strip("._-") or "none"


def _gib(number: float) -> str:
    return f"{math.ceil(number * 1024)}Mi"
