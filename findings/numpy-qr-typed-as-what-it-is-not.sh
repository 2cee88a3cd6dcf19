#!/usr/bin/env bash
# numpy 2.4's own types say that numpy.linalg.qr(…, mode="r") gives a QRResult with Q and R; it gives one array. So a strict type
# checker refuses the right program, which takes the array, and passes the wrong one, which asks it for .R and dies at run time.
# Modes "complete" and "reduced" are as typed; "raw" (two arrays, h and tau, in a plain tuple) is typed as a QRResult too.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 mypy==2.4.1
cat >wrong.py <<'PYTHON'
import numpy as np

triangle = np.linalg.qr(np.eye(3), mode="r")
print(triangle.R.shape)
PYTHON
cat >right.py <<'PYTHON'
import numpy as np

triangle: np.ndarray = np.linalg.qr(np.eye(3), mode="r")
print(triangle.shape)
PYTHON
venv/bin/python -c 'import numpy; print("numpy", numpy.__version__)'; venv/bin/mypy --version
for program in wrong right; do
  echo "$program.py, type checker:"; venv/bin/mypy --strict "$program.py" >"$program.types" 2>&1 && typed=0 || typed=1; cat "$program.types"
  echo "$program.py, run:"; venv/bin/python "$program.py" >"$program.run" 2>&1 && ran=0 || ran=1; tail -n 1 "$program.run"
  echo "$program $typed $ran" >>found
done
printf '%s\n' 'wrong 0 1' 'right 1 0' | diff - found
