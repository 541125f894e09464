#!/usr/bin/env bash
# Generates the Python of every contract into proto/src (or into the folder given).
set -euo pipefail
cd "$(dirname "$0")/.."
out="${1:-proto/src}"
bin="$PWD/.venv/bin"
mapfile -t all < <(cd proto && find sixfold -name '*.proto' | sort)
mapfile -t services < <(cd proto && grep -l '^service ' "${all[@]}")
PATH="$bin:$PATH" "$bin/python" -m grpc_tools.protoc -Iproto --python_out="$out" --pyi_out="$out" "${all[@]}"
PATH="$bin:$PATH" "$bin/python" -m grpc_tools.protoc -Iproto --grpc_python_out="$out" --mypy_grpc_out="$out" "${services[@]}"
