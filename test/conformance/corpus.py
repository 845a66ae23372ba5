"""Decodes pictures with Pillow as people see them: the first one of a file, upright, on white, in 8-bit sRGB.

Arguments: a folder of pictures, and a folder for what is seen. Prints for each file, as JSON, its name, and the size and
the PNG of what is seen, or why Pillow does not read it.
"""

import io
import json
import sys
import warnings
from pathlib import Path

from PIL import Image, ImageCms, ImageOps

source, target = Path(sys.argv[1]), Path(sys.argv[2])
SRGB = ImageCms.createProfile("sRGB")
ENDINGS = {
    *(".jpg", ".jpeg", ".mpo", ".heic", ".avif", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".dib"),
}
warnings.simplefilter("ignore")


def in_srgb(picture, profile):
    if not profile:
        return picture
    try:
        return ImageCms.profileToProfile(picture, io.BytesIO(profile), SRGB, outputMode="RGB")
    except ImageCms.PyCMSError:
        return picture  # no profile of these colours, or a damaged one


def seen(file):
    with Image.open(file) as opened:
        opened.seek(0)
        opened.load()
        profile = opened.info.get("icc_profile")
        info = {"format": opened.format, "mode": opened.mode, "orientation": opened.getexif().get(0x0112, 1)}
        picture = ImageOps.exif_transpose(opened)
    if picture.mode in ("I;16", "I;16B", "I;16L"):
        picture = picture.convert("I").point(lambda value: value / 256).convert("L")
    if picture.mode in ("RGB", "CMYK", "L"):
        picture = in_srgb(picture, profile)
    rgba = picture.convert("RGBA")
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, rgba).convert("RGB"), info


found = []
for nth, file in enumerate(sorted(source.rglob("*"))):
    if file.suffix.lower() not in ENDINGS or not file.is_file():
        continue
    entry = {"file": str(file.relative_to(source)), "bytes": file.stat().st_size}
    try:
        picture, info = seen(file)
        output = target / f"{nth}.png"
        picture.save(output, compress_level=1)
        entry |= info | {"size": list(picture.size), "seen": str(output)}
    except Exception as error:
        entry |= {"error": f"{type(error).__name__}: {error}"[:200]}
    found.append(entry)
print(json.dumps(found))
