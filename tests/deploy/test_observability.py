"""What watches the platform: configurations that their own tools accept, figures that really exist."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval_service.release.states import State
from servicekit.jobs import Status

METRIC_MODULES = (
    "servicekit.metrics", "servicekit.bus.metrics", "servicekit.jobs.metrics", "servicekit.outbox.metrics",
    "gateway.metrics", "model_service.metrics", "retrieval_service.metrics", "training_service.metrics",
    "eval_service.metrics",
)  # fmt: skip
# Prometheus gives every target this one; no code of ours does.
FROM_PROMETHEUS = {"up"}


# Each service registers its figures in a process of its own; two may use one name.
LIST = """
import importlib, json, sys
from prometheus_client import REGISTRY
importlib.import_module(sys.argv[1])
found = {}
for collector in list(REGISTRY._collector_to_names):
    labels = list(getattr(collector, "_labelnames", ()))
    for name in REGISTRY._collector_to_names[collector]:
        found[name] = labels
    for family in collector.collect() if not labels else ():
        found.setdefault(family.name, []).extend(getattr(family, "_labelnames", ()))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def labels() -> dict[str, set[str]]:
    """Every series that the code registers, parts of histograms included, to its labels."""
    found: dict[str, set[str]] = {}
    for module in METRIC_MODULES:
        done = subprocess.run(
            [sys.executable, "-c", LIST, module], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        for name, its in json.loads(done.stdout).items():
            found.setdefault(name, set()).update(its)
    return found


def expressions(root: Path) -> list[tuple[str, str]]:
    """Every expression of the dashboards and the rules, with where it stands."""
    found = []
    for path in sorted((root / "deploy/grafana/dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            found += [(f"{path.name}: {panel['title']}", target["expr"]) for target in panel["targets"]]
    rules = yaml.safe_load((root / "deploy/prometheus/rules.yml").read_text())
    for group in rules["groups"]:
        found += [(f"rules.yml: {rule['alert']}", rule["expr"]) for rule in group["rules"]]
    return found


def series(expression: str) -> set[str]:
    """The series that an expression reads."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(by|without)\s*\([^)]*\)", " ", expression)
    return {word for word in re.findall(r"[a-z_][a-z0-9_]*\b(?!\s*\()", bare) if "_" in word or word == "up"}


def test_every_metric_that_is_shown_or_alerts_exists(root: Path, labels: dict[str, set[str]]) -> None:
    found = expressions(root)
    assert len(found) > 20
    for where, expression in found:
        names = series(expression)
        assert names, f"{where} reads nothing: {expression}"
        missing = names - set(labels) - FROM_PROMETHEUS
        assert not missing, f"{where} reads {missing}, which no service has"


def test_every_label_that_is_grouped_or_filtered_by_exists(root: Path, labels: dict[str, set[str]]) -> None:
    given_by_prometheus = {"job", "instance", "le"}
    for where, expression in expressions(root):
        allowed = set(given_by_prometheus).union(*(labels.get(name, set()) for name in series(expression)))
        used: set[str] = set()
        for group in re.findall(r"\bby\s*\(([^)]*)\)", expression):
            used |= {name.strip() for name in group.split(",")}
        for block in re.findall(r"\{([^}]*)\}", expression):
            used |= set(re.findall(r"(\w+)\s*(?:=|!)", block))
        assert used <= allowed, f"{where} uses {used - allowed}"


def test_every_figure_of_jobs_and_releases_is_shown(root: Path, labels: dict[str, set[str]]) -> None:
    shown: set[str] = set()
    for where, expression in expressions(root):
        if where.startswith("jobs.json"):
            shown |= series(expression)
    parts = re.compile(r"_(created|bucket|sum|count)$")
    ours = {
        parts.sub("", name) for name in labels if re.match(r"sixfold_(jobs|training|eval|outbox)(_|$)", name)
    }
    ours = {name for name in ours if f"{name}_total" not in labels}  # a counter's family
    assert len(ours) > 25
    unseen = {name for name in ours if not any(parts.sub("", each) == name for each in shown)}
    assert not unseen, f"nobody sees {unseen}"
    assert {"sixfold_bus_lag", "sixfold_bus_dead_letters_total"} <= shown


@pytest.mark.parametrize(
    ("metric", "label", "known"),
    [
        ("sixfold_jobs", "status", {status.value for status in Status}),
        ("sixfold_eval_release_steps_total", "state", {state.value for state in State}),
    ],
)
def test_values_that_are_filtered_by_are_ones_that_the_code_gives(
    root: Path, metric: str, label: str, known: set[str]
) -> None:
    found = [
        value
        for _, expression in expressions(root)
        for value in re.findall(rf'\b{metric}\{{[^}}]*\b{label}="([^"]*)"', expression)
    ]
    assert found
    assert set(found) <= known


def test_series_are_found_in_expressions() -> None:
    ratio = 'sum by (a_b) (rate(x_y_total{c_d=~"5.."}[5m])) / sum(rate(z_total[5m])) > 0.02'
    assert series(ratio) == {"x_y_total", "z_total"}
    assert series('up{job=~"gateway"} == 0') == {"up"}


@pytest.mark.parametrize(
    "what", [("rules", "rules.yml"), ("config", "prometheus.yml")], ids=["rules", "config"]
)
def test_promtool_accepts_it(promtool: str, root: Path, what: tuple[str, str]) -> None:
    kind, name = what
    done = subprocess.run(
        [promtool, "check", kind, name],
        cwd=root / "deploy/prometheus",
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("given", "alerts"),
    [("10 in 1000 fail", False), ("100 in 1000 fail", True)],
)
def test_the_failure_alert_fires_when_it_should(
    promtool: str, root: Path, tmp_path: Path, given: str, alerts: bool
) -> None:
    failing = int(given.split()[0])
    series_of = 'sixfold_gateway_http_requests_total{job="gateway",status="%s"}'
    expected = {
        "exp_labels": {"severity": "page"},
        "exp_annotations": {"summary": "10% of requests end in a 5xx"},
    }
    series = {
        series_of % "200": f"0+{1000 - failing}x100",
        series_of % "503": f"0+{failing}x100",
    }
    alert = ("20m", "RequestsFail", [expected] if alerts else [])
    check_alerts(promtool, root, tmp_path, series, alert)


def check_alerts(
    promtool: str, root: Path, folder: Path, given: dict[str, str], *alerts: tuple[str, str, list[Any]]
) -> None:
    """promtool's own test: series as it writes them, and which alerts fire when."""
    unit = {
        "rule_files": [str(root / "deploy/prometheus/rules.yml")],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": [{"series": name, "values": values} for name, values in given.items()],
                "alert_rule_test": [
                    {"eval_time": when, "alertname": name, "exp_alerts": expected}
                    for when, name, expected in alerts
                ],
            }
        ],
    }
    file = folder / "unit.yml"
    file.write_text(yaml.safe_dump(unit))
    done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alerts_of_documents_fire_when_they_should(promtool: str, root: Path, tmp_path: Path) -> None:
    done = 'sixfold_retrieval_documents_total{job="retrieval-service",outcome="%s",reason=""}'
    dead = 'sixfold_bus_dead_letters_total{group="retrieval-service",topic="sixfold.documents"}'
    series = {
        "sixfold_retrieval_files_waiting": "3x400",
        done % "completed": "0+1x40 40x400",  # ten minutes of files, then none
        done % "failed": "0x400",
        dead: "_x40 1x400",  # nothing was counted before
    }
    letter = {
        "exp_labels": {"severity": "ticket", "group": "retrieval-service", "topic": "sixfold.documents"},
        "exp_annotations": {
            "summary": "retrieval-service could not handle events of sixfold.documents: "
            "see sixfold.documents.dead"
        },
    }
    still = {
        "exp_labels": {"severity": "page"},
        "exp_annotations": {
            "summary": "3 files wait to be indexed, and none has been for a quarter of an hour"
        },
    }
    check_alerts(
        promtool, root, tmp_path, series,
        ("9m", "DeadLetters", []),
        ("12m", "DeadLetters", [letter]),
        ("30m", "DeadLetters", []),
        ("20m", "FilesStandStill", []),
        ("45m", "FilesStandStill", [still]),
        ("45m", "DocumentsFail", []),
    )  # fmt: skip


def test_the_alerts_of_jobs_fire_when_they_should(promtool: str, root: Path, tmp_path: Path) -> None:
    of = 'job="training-service",kind="fine_tuning"'
    series = {
        f'sixfold_jobs{{{of},status="queued"}}': "2x400",
        f"sixfold_jobs_running{{{of}}}": "1x40 0x400",  # the worker is gone after ten minutes
        f'sixfold_jobs_dead_total{{{of},reason="DISK_FULL"}}': "_x40 1x400",
        'sixfold_outbox_oldest_seconds{job="eval-service"}': "0x40 0+15x400",
        'sixfold_eval_release_steps_total{job="eval-service",state="rolled_back"}': "_x40 1x40 2x400",
    }

    def ticket(severity: str, summary: str, **labels: str) -> dict[str, Any]:
        return {"exp_labels": {"severity": severity, **labels}, "exp_annotations": {"summary": summary}}

    given_up = ticket(
        "ticket",
        "A job of the kind fine_tuning was given up: DISK_FULL",
        kind="fine_tuning",
        reason="DISK_FULL",
    )
    still = ticket(
        "page",
        "2 jobs of the kind fine_tuning wait, and training-service runs none",
        job="training-service",
        kind="fine_tuning",
    )
    old = ticket("page", "An event of eval-service has waited 10m 30s to be published", job="eval-service")
    back = ticket("ticket", "A release was rolled back: its record says why")
    check_alerts(
        promtool, root, tmp_path, series,
        ("9m", "JobsGivenUp", []),
        ("12m", "JobsGivenUp", [given_up]),
        ("30m", "JobsGivenUp", []),
        ("20m", "JobsStandStill", []),
        ("27m", "JobsStandStill", [still]),
        ("14m", "OutboxOld", []),
        ("20m45s", "OutboxOld", [old]),
        ("9m", "ReleaseRolledBack", []),
        ("12m", "ReleaseRolledBack", [back]),
        ("22m", "ReleaseRolledBack", [back]),
        ("60m", "ReleaseRolledBack", []),
        ("60m", "LeasesLost", []),
    )  # fmt: skip


def test_prometheus_scrapes_what_compose_runs(root: Path, compose: dict[str, Any]) -> None:
    config = yaml.safe_load((root / "deploy/prometheus/prometheus.yml").read_text())
    hosts: set[str] = set()
    for job in config["scrape_configs"]:
        for static in job.get("static_configs", []):
            hosts |= {target.split(":")[0] for target in static["targets"]}
        for lookup in job.get("dns_sd_configs", []):
            hosts |= set(lookup["names"])
    assert hosts <= set(compose["services"])
    text = (root / "deploy/prometheus/prometheus.yml").read_text()
    for name in ("model-service", "retrieval-service", "training-service", "eval-service"):
        variable = f"SIXFOLD_{name.replace('-', '_').upper()}_OPS_LISTEN"
        ops = compose["services"][name]["environment"][variable]
        assert f"{name}:{ops.split(':')[1]}" in text


def test_grafana_finds_its_source_and_its_dashboards(root: Path, compose: dict[str, Any]) -> None:
    grafana = root / "deploy/grafana"
    source = yaml.safe_load((grafana / "provisioning/datasources/prometheus.yaml").read_text())[
        "datasources"
    ][0]
    assert re.fullmatch(r"http://(\w+):9090", source["url"])[1] in compose["services"]  # type: ignore[index]
    provider = yaml.safe_load((grafana / "provisioning/dashboards/sixfold.yaml").read_text())["providers"][0]
    mounts = compose["services"]["grafana"]["volumes"]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in mounts
    for path in (grafana / "dashboards").glob("*.json"):
        dashboard = json.loads(path.read_text())
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(ids)) == len(ids)
        for panel in dashboard["panels"]:
            assert panel["datasource"]["uid"] == source["uid"]
            assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


def test_the_collector_uses_what_it_defines_and_defines_what_it_uses(root: Path) -> None:
    config = yaml.safe_load((root / "deploy/otel/config.yaml").read_text())
    used: dict[str, set[str]] = {"receivers": set(), "processors": set(), "exporters": set()}
    for pipeline in config["service"]["pipelines"].values():
        for kind in used:
            used[kind] |= set(pipeline.get(kind, []))
    connectors = set(config["connectors"])
    assert used["receivers"] - connectors == set(config["receivers"])
    assert used["exporters"] - connectors == set(config["exporters"])
    assert used["processors"] == set(config["processors"])
    assert connectors <= used["receivers"]
    assert connectors <= used["exporters"]
    assert set(config["service"]["extensions"]) == set(config["extensions"])
    for name, pipeline in config["service"]["pipelines"].items():
        assert pipeline["processors"][0] == "memory_limiter", (
            f"{name}: memory is limited before anything else"
        )
        assert pipeline["processors"][-1] == "batch", name
    assert "redaction" in config["service"]["pipelines"]["traces"]["processors"]


def test_the_collector_masks_what_nobody_may_read(root: Path) -> None:
    config = yaml.safe_load((root / "deploy/otel/config.yaml").read_text())["processors"]["redaction"]
    secret_values = ("someone@example.com", "sk-sixfold-0123456789ab-" + "x" * 43, "eyJhbGciOi.eyJzdWIi.c2ln")
    for value in secret_values:
        assert any(re.search(pattern, value) for pattern in config["blocked_values"]), value
    for key in ("gen_ai.input.messages", "gen_ai.output.messages", "http.request.header.authorization"):
        assert any(re.search(pattern, key) for pattern in config["blocked_key_patterns"]), key
    for key in ("gen_ai.request.model", "gen_ai.usage.input_tokens", "gen_ai.response.id", "http.route"):
        assert not any(re.search(pattern, key) for pattern in config["blocked_key_patterns"]), key


def test_the_collector_listens_where_the_others_look(root: Path, compose: dict[str, Any]) -> None:
    text = (root / "deploy/otel/config.yaml").read_text()
    url = compose["services"]["gateway"]["environment"]["SIXFOLD_TELEMETRY_URL"]
    scheme, host, port = re.fullmatch(r"(\w+)://([\w-]+):(\d+)", url).groups()  # type: ignore[union-attr]
    assert scheme == "otlp"
    assert host in compose["services"]
    assert f"0.0.0.0:{port}" in text
    assert any("13133" in str(word) for word in compose["services"][host]["healthcheck"]["test"])


def test_yamllint_finds_nothing(root: Path, tool: Callable[[str], str]) -> None:
    rules = {
        "line-length": {"max": 130},
        "document-start": "disable",
        "braces": {"max-spaces-inside": 1},
        "truthy": {"check-keys": False},
        "comments": {"min-spaces-from-content": 1},
    }
    config = json.dumps({"extends": "default", "rules": rules})
    files = ["docker-compose.yml", "deploy/otel", "deploy/prometheus", "deploy/grafana", "deploy/config"]
    files += ["deploy/kubernetes"]
    done = subprocess.run(
        [tool("yamllint"), "--strict", "-d", config, *files], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
