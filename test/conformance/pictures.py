"""Writes pictures as Pillow and ffmpeg make them, and what Pillow sees in each: upright, on white, 8-bit sRGB."""

import json
import subprocess
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps, features

folder = Path(sys.argv[1])
ffmpeg = sys.argv[2] if len(sys.argv) > 2 else None


def scene(mode="RGB", size=(320, 260)):
    picture = Image.new("RGB", size)
    for x in range(size[0]):
        for y in range(size[1]):
            picture.putpixel((x, y), (x * 255 // size[0], y * 255 // size[1], 255 - (x + y) * 255 // sum(size)))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((20, 30, 130, 90), fill=(220, 30, 40))
    draw.ellipse((180, 120, 300, 240), fill=(20, 160, 60))
    return picture.convert(mode)


def transparent(picture):
    mask = Image.new("L", picture.size, 255)
    ImageDraw.Draw(mask).rectangle((100, 100, 220, 200), fill=0)
    picture = picture.convert("RGBA")
    picture.putalpha(mask)
    return picture


pictures = []


def keep(what, name, changes=None):
    """Adds a file that was written; `changes`: what has to be done to it; null: nothing is claimed."""
    seen = None
    with Image.open(folder / name) as opened:
        opened.seek(0)
        upright = ImageOps.exif_transpose(opened)
        if upright.mode in ("I;16", "I;16B", "I"):
            upright = upright.point(lambda value: value / 256).convert("L")
        rgba = upright.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        flat = Image.alpha_composite(white, rgba).convert("RGB")
        flat.save(folder / f"{name}.seen.png")
        seen = list(flat.size)
    pictures.append({"what": what, "file": name, "size": seen, "changes": changes})


def write(what, name, picture, changes=None, **options):
    picture.save(folder / name, **options)
    keep(what, name, changes)


def exif(orientation, make="Pillow", model="test"):
    data = Image.Exif()
    data[0x0112], data[0x010F], data[0x0110] = orientation, make, model
    gps = data.get_ifd(0x8825)
    gps[1], gps[2] = "N", (47.0, 22.0, 0.0)
    return data


TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
for orientation, turn in TURNS.items():
    stored = scene() if turn is None else scene().transpose(turn)
    changes = ["stripped"] if orientation == 1 else ["rotated"]
    for ext in ("jpg", "png", "webp"):
        options = {"quality": 95} if ext != "png" else {}
        name = f"orientation-{orientation}.{ext}"
        write(f"{ext}, orientation {orientation}", name, stored, changes, exif=exif(orientation), **options)

write("a plain JPEG", "plain.jpg", scene(), [], quality=95)
write("a progressive JPEG", "progressive.jpg", scene(), [], quality=95, progressive=True)
write("a JPEG with 4:4:4", "full.jpg", scene(), [], quality=95, subsampling=0)
write("a grey JPEG", "grey.jpg", scene("L"), [], quality=95)
write("a CMYK JPEG", "cmyk.jpg", scene("CMYK"), ["converted"], quality=95)
write("a PNG", "plain.png", scene(), [])
write("a palette PNG", "palette.png", scene("P"), [])
write("a PNG of two colours", "bilevel.png", scene("1"), [])
write("a grey PNG", "grey.png", scene("L"), [])
write("a PNG of 16 bits", "deep.png", scene("L").convert("I").point(lambda value: value * 257).convert("I;16"))
write("a PNG with alpha", "alpha.png", transparent(scene()), ["flattened"])
write("a grey PNG with alpha", "grey-alpha.png", transparent(scene()).convert("LA"), ["flattened"])
write("a WEBP", "plain.webp", scene(), [], lossless=True)
write("a WEBP with alpha", "alpha.webp", transparent(scene()), ["flattened"], lossless=True)
write("a GIF", "plain.gif", scene("P"), ["converted"])
write("a TIFF", "plain.tif", scene(), ["converted"])
write("a TIFF with LZW", "lzw.tif", scene(), ["converted"], compression="tiff_lzw")
write("a CMYK TIFF", "cmyk.tif", scene("CMYK"), ["converted"])
write("a BMP of 24 bits", "rgb.bmp", scene())
write("a BMP with a palette", "palette.bmp", scene("P"))
write("a grey BMP", "grey.bmp", scene("L"))
write("a BMP of one bit", "bilevel.bmp", scene("1"))

others = [scene().transpose(Image.Transpose.ROTATE_180)]
write("an animated GIF", "animated.gif", scene("P"), ["converted"], save_all=True, append_images=others)
write("an animated WEBP", "animated.webp", scene(), ["converted"], save_all=True, append_images=others, lossless=True)
write("an animated PNG", "animated.png", scene(), None, save_all=True, append_images=others)
write("a TIFF of two pages", "pages.tif", scene(), ["converted"], save_all=True, append_images=others)
# Several pictures in one JPEG, as phones with depth, gain maps (Ultra HDR) and burst modes write them.
write("an MPO", "several.mpo", scene(), None, save_all=True, append_images=others, quality=95)
lying = scene().transpose(Image.Transpose.ROTATE_90)
small = [lying.resize((130, 160)).convert("L")]
write(
    "a phone's portrait with a second picture", "phone.jpg", lying, ["rotated"],
    format="MPO", save_all=True, append_images=small, quality=95, exif=exif(6, "Google", "Pixel 8 Pro"),
)
if features.check("avif"):
    write("an AVIF", "plain.avif", scene(), ["converted"], quality=95)

if ffmpeg is not None:
    for what, name, options in [
        ("ffmpeg's JPEG", "ffmpeg.jpg", ["-pix_fmt", "yuvj420p", "-q:v", "2"]),
        ("ffmpeg's JPEG of 4:2:2", "ffmpeg-422.jpg", ["-pix_fmt", "yuvj422p", "-q:v", "2"]),
        ("ffmpeg's interlaced PNG of 16 bits", "ffmpeg-48.png", ["-pix_fmt", "rgb48be"]),
        ("ffmpeg's BMP with alpha", "ffmpeg.bmp", ["-pix_fmt", "bgra"]),
        ("ffmpeg's BMP of 16 bits", "ffmpeg-565.bmp", ["-pix_fmt", "rgb565le"]),
        ("ffmpeg's TIFF", "ffmpeg.tif", ["-pix_fmt", "rgb24", "-compression_algo", "deflate"]),
    ]:
        source = str(folder / "plain.png")
        subprocess.run([ffmpeg, "-v", "error", "-y", "-i", source, *options, str(folder / name)], check=True)
        keep(what, name)

print(json.dumps(pictures))
