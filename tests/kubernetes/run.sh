#!/usr/bin/env bash
# Checks the manifest of docs/batch.md: `tests/kubernetes/run.sh`. Against the schemas of Kubernetes (the Python package
# `kubernetes-validate`, in a virtual environment of its own), and by kubectl where it is installed. Needs no cluster.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python3 -m venv "$tools"
"$tools/bin/pip" -q --disable-pip-version-check install kubernetes-validate PyYAML
"$tools/bin/python" check.py
