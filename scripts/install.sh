#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the virtual environment $1 from the lock $2, every hash checked, and puts the project into it, editable.
# uv does it in seconds; where uv can't reach what pip can (it doesn't read pip's configuration), pip does it in minutes.
set -euo pipefail
venv=${1:?the directory of the virtual environment}
lock=${2:?the lock, one of constraints/}
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  { echo "Python 3.11 or newer is needed; $("$python" --version) is what '$python' is. Say PYTHON=… to take another." >&2; exit 1; }

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip=("$venv/bin/python" -m pip --disable-pip-version-check)

# uv reads its own variables only: hand it those of pip that are set.
map() { if [ -n "${!1:-}" ] && [ -z "${!2:-}" ]; then export "$2=${!1}"; fi; }
map PIP_INDEX_URL UV_DEFAULT_INDEX
map PIP_EXTRA_INDEX_URL UV_INDEX
map PIP_FIND_LINKS UV_FIND_LINKS
map PIP_TRUSTED_HOST UV_INSECURE_HOST
map PIP_CERT SSL_CERT_FILE
map PIP_DEFAULT_TIMEOUT UV_HTTP_TIMEOUT

# The same version and hashes of uv as in the lock.
awk '/^uv==/ {block = 1} block {print} block && !/\\$/ {exit}' "$lock" > "$venv/uv.txt"
"${pip[@]}" install --quiet --require-hashes -r "$venv/uv.txt"

# --require-hashes and an editable install exclude each other: two steps. No build isolation, since that would fetch
# a build backend that is not in the lock.
if "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --require-hashes -r "$lock"; then
  "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation -e .
else
  echo "uv could not install the lock: trying pip, which takes longer" >&2
  "${pip[@]}" install --quiet --require-hashes -r "$lock"
  "${pip[@]}" install --quiet --no-deps --no-build-isolation -e .
fi
"$venv/bin/uv" pip check --quiet --python "$venv/bin/python"
