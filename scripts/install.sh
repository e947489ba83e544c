#!/bin/sh
# Install this project with some extras into .venv:  sh scripts/install.sh PYTHON EXTRA
# uv does it, from a folder of its own, .venv/tools; pip where there is no uv. constraints.txt names the versions.
# Set TORCH=default for the build of torch that pip chooses itself, which on Linux is the one for GPUs, of gigabytes.
set -eu
python=$1 extra=$2
cd "$(dirname "$0")/.."
case "$(uname -s)" in MINGW* | MSYS* | CYGWIN*) bin=.venv/Scripts ;; *) bin=.venv/bin ;; esac

say() { echo "== $*"; }
pip() { "$bin/python" -m pip --disable-pip-version-check "$@" --constraint constraints.txt; }

[ -x "$bin/python" ] || [ -x "$bin/python.exe" ] || {
    say "Making a virtual environment in .venv"
    "$python" -m venv .venv
}
uv=.venv/tools/bin/uv
[ -x "$uv" ] || {
    say "Fetching uv, which installs faster than pip"
    pip install --quiet --target .venv/tools uv || say "There is no uv for this machine: pip does it"
}
"$bin/python" -c "import importlib.util, sys; sys.exit(not importlib.util.find_spec('torch'))" || {
    say "Installing torch, the largest part"
    build=
    [ "${TORCH:-cpu}" != cpu ] || build="--extra-index-url https://download.pytorch.org/whl/cpu"
    # shellcheck disable=SC2086  # two words, or none
    pip install -qq --no-deps --no-compile --retries 0 $build torch
}
say "Installing the rest for: $extra"
# A package that is compiled at its first import warns there, and in tests warnings are errors; the demo need not wait.
ahead=--compile-bytecode
[ "$extra" != demo ] || ahead=--no-compile-bytecode
if [ -x "$uv" ]; then
    "$uv" pip install --quiet "$ahead" --python .venv --constraint constraints.txt --editable ".[$extra]"
else
    pip install --quiet "${ahead%-bytecode}" --editable ".[$extra]"
fi
