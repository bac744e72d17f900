"""Every decoder gives Pillow's pixels, on every kind of file."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ldmlab.data.decoding import decoders, jpeg
from ldmlab.data.decoding.decode import decode_image, decode_rgb
from ldmlab.data.decoding.decoders import Decoder, decoder_of
from ldmlab.data.decoding.jpeg import scale_for

photographs = pytest.importorskip("skimage.data", exc_type=ImportError)

Pixels = NDArray[np.uint8]
QUICK = ("simplejpeg", "torchvision")
PHOTO = Image.fromarray(photographs.astronaut()[:200, 150:311])  # 200 x 161


def encoded(image: Image.Image, image_format: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def lying(how: int) -> dict[str, Any]:
    exif = Image.Exif()
    exif[0x0112] = how
    return {"exif": exif}


FILES: dict[str, bytes] = {
    "jpeg": encoded(PHOTO),
    "best jpeg": encoded(PHOTO, quality=100, subsampling=0),
    "4:2:2": encoded(PHOTO, subsampling=1),
    "progressive": encoded(PHOTO, progressive=True),
    "restarts": encoded(PHOTO, restart_marker_rows=1),
    "rgb inside": encoded(PHOTO, keep_rgb=True),
    "grey jpeg": encoded(PHOTO.convert("L")),
    "cmyk": encoded(PHOTO.convert("CMYK")),
    "mpo": encoded(PHOTO, "MPO", save_all=True, append_images=[PHOTO.reduce(4)]),
    "broken exif": encoded(PHOTO, exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01"),
    "png": encoded(PHOTO, "PNG"),
    "palette": encoded(PHOTO.convert("P"), "PNG"),
    "16 bit": encoded(Image.fromarray(np.asarray(PHOTO.convert("L")).astype(np.uint16) * 257), "PNG"),
    "rgba": encoded(Image.merge("RGBA", (*PHOTO.split(), PHOTO.convert("L"))), "PNG"),
    "webp": encoded(PHOTO, "WEBP"),
    "odd": encoded(PHOTO.crop((0, 0, 117, 33))),
    "a pixel": encoded(PHOTO.crop((9, 9, 10, 10))),
    "thin": encoded(PHOTO.resize((3, 400))),
    **{f"lying {how}": encoded(PHOTO, **lying(how)) for how in range(2, 9)},
}


def apart(one: Pixels, other: Pixels) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other).max())


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("kind", FILES)
def test_a_quick_decoder_gives_the_pixels_of_pillow(kind: str, name: str) -> None:
    """1 of 255 apart at most where the picture becomes smaller, 2 where it becomes larger."""
    small = kind in ("odd", "a pixel", "thin")
    for size, place, most in ((64, (0.5, 0.5), 1 + small), ((48, 80), (0.0, 0.9), 1 + small), (300, (0.5, 0.5), 2)):
        ours, pillow = (decode_image(FILES[kind], size, *place, decoder_of(each)) for each in (name, "pillow"))
        assert apart(ours, pillow) <= most


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("kind", FILES)
def test_what_has_the_size_is_the_same_to_the_bit(kind: str, name: str) -> None:
    columns, rows = decode_rgb(FILES[kind]).size
    ours, pillow = (decode_image(FILES[kind], (rows, columns), decoder=decoder_of(each)) for each in (name, "pillow"))
    assert np.array_equal(ours, pillow)


def test_pillow_scales_a_square_as_it_always_did() -> None:
    square = PHOTO.crop((0, 0, 160, 160))
    expected = np.asarray(ImageOps.fit(square, (64, 64), Image.Resampling.BICUBIC))
    assert np.array_equal(decode_image(encoded(square, "PNG"), 64, decoder=decoder_of("pillow")), expected)


@pytest.mark.parametrize("name", QUICK)
def test_jpeg_is_not_left_to_pillow(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("left to Pillow")

    monkeypatch.setattr("ldmlab.data.decoding.decode.decode_rgb", fail)
    for kind in ("jpeg", "best jpeg", "4:2:2", "progressive", "restarts", "grey jpeg", "odd", "broken exif"):
        assert decode_image(FILES[kind], 32, decoder=decoder_of(name)).shape == (32, 32, 3)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda payload: payload[: len(payload) // 2],
    "header alone": lambda payload: payload[:300],
    "no end mark": lambda payload: payload[:-2],
    "zeros inside": lambda payload: payload[:2000] + bytes(300) + payload[2300:],
    "noise inside": lambda payload: payload[:2000] + bytes(range(256)) + payload[2256:],
    "a tail": lambda payload: payload + b"tail" * 9,
    "web page": lambda payload: b"<html>" + payload,
    "a web page named so": lambda payload: b"\xff\xd8\xff<html>",
    "nothing": lambda payload: b"",
}


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_files_are_decoded_or_refused_as_pillow_does(how: str, name: str) -> None:
    payload = DAMAGE[how](FILES["jpeg"])
    results = []
    for each in (name, "pillow"):
        try:
            results.append(decode_image(payload, 64, decoder=decoder_of(each)))
        except Exception:
            results.append(None)
    ours, pillow = results
    assert (ours is None) == (pillow is None)
    assert ours is None or apart(ours, pillow) <= 1


def test_a_file_with_two_sizes_is_left_to_pillow() -> None:
    """The size that was checked is not the one that a library goes by."""
    with pytest.raises(ValueError, match="two headers"):
        jpeg.by_simplejpeg(FILES["jpeg"], (10, 10), 1)


def test_bombs_are_refused_before_they_are_decoded() -> None:
    bomb = bytearray(FILES["jpeg"])
    start = bomb.index(b"\xff\xc0") + 5
    bomb[start : start + 4] = struct.pack(">HH", 65000, 65000)
    for name in (*QUICK, "pillow"):
        with pytest.raises(Image.DecompressionBombError):
            decode_image(bytes(bomb), 8, decoder=decoder_of(name))


@pytest.mark.parametrize("kind", FILES)
def test_scaled_decoding_is_the_same_by_all_that_can(kind: str) -> None:
    able = [decoder_of(name, scaled=True) for name in ("simplejpeg", "pillow")]
    for size in (16, (20, 40)):
        assert apart(*(decode_image(FILES[kind], size, decoder=each) for each in able)) <= 2


def test_scaled_decoding_gives_other_pixels_of_the_same_picture() -> None:
    square = encoded(PHOTO.crop((0, 0, 160, 160)))
    whole, scaled = (decode_image(square, 32, decoder=decoder_of("auto", each)) for each in (False, True))
    assert 0 < np.abs(whole.astype(int) - scaled).mean() < 3
    png = [decode_image(FILES["png"], 32, decoder=decoder_of("auto", each)) for each in (False, True)]
    assert np.array_equal(*png), "JPEG alone can be decoded so"


@pytest.mark.parametrize(
    ("shape", "size", "scale"),
    [
        ((512, 512), (256, 256), 2),
        ((511, 512), (256, 256), 1),
        ((512, 2000), (256, 256), 2),
        ((3000, 4000), (256, 256), 8),
        ((2047, 2047), (256, 256), 4),
        ((512, 1024), (128, 512), 2),
        ((8, 4000), (16, 16), 1),
        ((1, 1), (1, 1), 1),
    ],
)
def test_a_scaled_crop_is_never_smaller_than_what_is_wanted(
    shape: tuple[int, int], size: tuple[int, int], scale: int
) -> None:
    assert scale_for(shape, size) == scale


def test_unknown_and_missing_decoders_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^data\.decoder=opencv: .* use one of auto, pillow, simplejpeg"):
        decoder_of("opencv")
    with pytest.raises(ValueError, match=r"^data\.decoder=torchvision: cannot decode at a smaller scale"):
        decoder_of("torchvision", True)
    monkeypatch.setattr(decoders, "_is_installed", lambda name: name != "simplejpeg")
    decoder_of.cache_clear()
    with pytest.raises(ValueError, match=r"^data\.decoder=simplejpeg: is not installed here; pip install simplejpeg"):
        decoder_of("simplejpeg")
    assert decoder_of() == Decoder("torchvision")
    assert decoder_of(scaled=True) == Decoder("pillow", True)
    decoder_of.cache_clear()


def test_the_quickest_is_taken() -> None:
    assert decoder_of() == Decoder("simplejpeg")
    assert decoder_of().facts == {"decoder": "simplejpeg", "scaled_decoding": False}


def test_pixels_may_be_changed_and_become_tensors() -> None:
    for kind in ("jpeg", "png", "odd"):
        for size in (33, (33, 117), (200, 161)):
            pixels = decode_image(FILES[kind], size)
            assert pixels.flags.writeable
            assert torch.from_numpy(pixels).dtype == torch.uint8
