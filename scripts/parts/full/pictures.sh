#!/usr/bin/env bash
# Fetches the pictures of test/conformance/corpus.full.test.ts: photos of phones and cameras as they came, and the odd
# and damaged files that other libraries are tested with. They are test data of published packages, and none of ours:
#   exif, jpeg-exif, exif-parser (npm)  iPhone, Xiaomi, Lumia, Sony (MPO), cameras
#   pillow, pillow-heif (Python)        Pixel (Ultra HDR), iPhone (MPO, HEIC), BMP of every kind, TIFF, all orientations
#   thumbor, sigal, piexif (Python)     cameras, CMYK with an orientation, broken EXIF
#
# They lie in wan-video-temporal/pictures of the user's cache folder (XDG_CACHE_HOME, else ~/.cache).
# Needs python3, npm, and registries that pip and npm can reach. Prints the folder.
set -euo pipefail

python_packages=(pillow==13.0.0 pillow-heif==1.8.1 thumbor==7.8.0 sigal==2.6.1 piexif==1.1.3)
npm_packages=(exif@0.6.0 jpeg-exif@1.1.4 exif-parser@0.1.12)
home="${XDG_CACHE_HOME:-${HOME}/.cache}/wan-video-temporal/pictures"
done_mark="${home}/.packages"
packages="${python_packages[*]} ${npm_packages[*]}"

if [ ! -f "${done_mark}" ] || [ "$(cat "${done_mark}")" != "${packages}" ]; then
  archives="$(mktemp -d)"
  trap 'rm -rf "${archives}"' EXIT
  rm -rf "${home}"
  mkdir -p "${home}"
  for package in "${python_packages[@]}"; do
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: \
      -d "${archives}" "${package}" >&2
  done
  for package in "${npm_packages[@]}"; do
    (cd "${archives}" && npm pack --silent "${package}" >/dev/null)
  done
  # Only pictures, under a name without folders.
  python3 - "${archives}" "${home}" <<'PYTHON'
import sys
import tarfile
import zipfile
from pathlib import Path

archives, home = map(Path, sys.argv[1:])
endings = {".jpg", ".jpeg", ".mpo", ".heic", ".avif", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".dib"}


def keep(archive, name, read):
    path = Path(name)
    if path.suffix.lower() in endings:
        # npm calls the folder of every package by the same name.
        folder = home / archive.name.removesuffix(".tgz").removesuffix(".tar.gz").removesuffix(".zip")
        folder.mkdir(exist_ok=True)
        (folder / "_".join(path.parts[1:])[-150:]).write_bytes(read())


for archive in sorted(archives.iterdir()):
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as opened:
            for name in opened.namelist():
                keep(archive, name, lambda: opened.read(name))
    else:
        with tarfile.open(archive) as opened:
            for member in opened:
                if member.isfile():
                    keep(archive, member.name, lambda: opened.extractfile(member).read())
PYTHON
  printf '%s' "${packages}" >"${done_mark}"
fi
echo "${home}"
