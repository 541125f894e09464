"""MLflow's registry: a released name is a registered model, its versions what was released under it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

CHAMPION, CHALLENGER = "champion", "challenger"


def point(url: str, order: Mapping[str, Any]) -> bool:
    """Brings one name to where it stands: versions with their tags first, then both aliases.

    Doing it again changes nothing. False when the registry does not take it.
    """
    mlflow = importlib.import_module("mlflow")
    try:
        _point(mlflow.MlflowClient(url), order)
    except (mlflow.exceptions.MlflowException, OSError):
        return False
    return True


def _point(client: Any, order: Mapping[str, Any]) -> None:
    name = order["name"]
    there = bool(client.search_registered_models(f"name = '{name}'"))
    wanted = {CHAMPION: order[CHAMPION], CHALLENGER: order[CHALLENGER]}
    released = [move["trained"] for move in order["moves"]] + list(wanted.values())
    if not there and any(released):
        client.create_registered_model(name, tags=order["tags"])
        there = True
    if not there:
        return
    for move in order["moves"]:
        if move["trained"]:
            version = _version(client, name, move["trained"])
            for tag, value in move["tags"].items():
                client.set_model_version_tag(name, version, tag, value)
    now = client.get_registered_model(name).aliases
    for alias, trained in wanted.items():
        version = _version(client, name, trained) if trained else ""
        if version and str(now.get(alias, "")) != version:
            client.set_registered_model_alias(name, alias, version)
        elif not version and alias in now:
            client.delete_registered_model_alias(name, alias)


def _version(client: Any, name: str, trained: Mapping[str, Any]) -> str:
    """The version of this name that is the trained model: the run and the files of its training."""
    run_id = trained["run_id"]
    found = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    if found:
        return str(found[0].version)
    first = client.get_model_version(trained["registered_name"], trained["registered_version"])
    tags = {**first.tags, "sixfold.model": trained["model"], "sixfold.version": trained["version"]}
    made = client.create_model_version(name, source=first.source, run_id=run_id, tags=tags)
    return str(made.version)
