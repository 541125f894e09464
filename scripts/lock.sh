#!/usr/bin/env bash
# Writes constraints.txt: every version that the members and their tests are built with, no addresses.
set -euo pipefail
cd "$(dirname "$0")/.."
export UV_FIND_LINKS="${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}"
uv=.venv/bin/uv
members=(proto servicekit gateway model-service retrieval-service training-service eval-service cli)
"$uv" pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header \
    --no-emit-index-url --no-emit-find-links \
    --no-emit-package sixfold-proto --no-emit-package sixfold-servicekit \
    --group pyproject.toml:dev "${members[@]/%//pyproject.toml}" -o constraints.txt "$@"
