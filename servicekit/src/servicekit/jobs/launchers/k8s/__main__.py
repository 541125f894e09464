"""Prints what a launcher would submit, as JSON that kubectl takes.

python -m servicekit.jobs.launchers.k8s 'k8s+http://127.0.0.1:8001/jobs?image=…' | kubectl create -f -
"""

from __future__ import annotations

import argparse
import json
import sys

from servicekit.jobs.launchers.base import Needs
from servicekit.jobs.launchers.k8s.address import Address
from servicekit.jobs.launchers.k8s.manifest import job_manifest


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m servicekit.jobs.launchers.k8s")
    parser.add_argument("url", help="the launcher's URL")
    parser.add_argument("--job", default="job-example", help="a job's id")
    parser.add_argument("--kind", default="fine_tuning")
    parser.add_argument("--tenant", default="default")
    parser.add_argument("--memory-bytes", type=int, default=8 << 30)
    parser.add_argument("--seconds", type=float, default=3600)
    given = parser.parse_args()
    needs = Needs(given.job, given.kind, given.tenant, given.memory_bytes, given.seconds)
    try:
        manifest = job_manifest(f"{given.job}-1", needs, Address.parse(given.url), {})
    except ValueError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    print(json.dumps(manifest, indent=2))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
