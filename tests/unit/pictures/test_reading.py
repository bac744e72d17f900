"""Files that a user names: read as they look, or refused in one line that names the key."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ldmlab.data.decoding.decode import decode_image
from ldmlab.pictures.reading import MOST_PIXELS, fit_mask, fit_picture, read_mask, read_picture


def saved(folder: Path, image: Image.Image, name: str = "picture.png") -> str:
    image.save(folder / name)
    return str(folder / name)


def header_only(folder: Path, width: int, height: int) -> str:
    """A PNG that says how large it is, and holds nothing."""

    def block(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = block(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    path = folder / "large.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + block(b"IDAT", zlib.compress(b"")) + block(b"IEND", b""))
    return str(path)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_picture_keeps_its_size_and_its_bytes(tmp_path: Path) -> None:
    pixels = noise(12, 20)
    picture = read_picture(saved(tmp_path, Image.fromarray(pixels)))
    assert picture.dtype == torch.uint8
    assert np.array_equal(picture.permute(1, 2, 0).numpy(), pixels)


def test_transparent_pixels_are_white_in_a_picture_and_black_in_a_mask(tmp_path: Path) -> None:
    rgba = np.zeros((2, 2, 4), dtype=np.uint8)
    rgba[0] = (255, 255, 255, 255)
    path = saved(tmp_path, Image.fromarray(rgba))
    assert read_picture(path).unique().tolist() == [255]
    assert read_mask(path).tolist() == [[True, True], [False, False]]


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    gray = np.array([[0, 32768], [65535, 257]], dtype=np.uint16)
    path = saved(tmp_path, Image.fromarray(gray))
    assert read_picture(path)[0].tolist() == [[0, 127], [255, 1]]
    assert read_mask(path).tolist() == [[False, False], [True, False]]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "LA", "CMYK"])
def test_masks_of_every_mode(mode: str, tmp_path: Path) -> None:
    half = Image.new("L", (4, 4), 0)
    half.paste(255, (0, 0, 2, 4))
    name = "mask.jpg" if mode == "CMYK" else "mask.png"
    mask = read_mask(saved(tmp_path, half.convert("RGB" if mode == "CMYK" else "L").convert(mode), name))
    assert mask.tolist() == [[True, True, False, False]] * 4


def test_an_upright_photo(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (8, 4)).save(tmp_path / "photo.jpg", exif=exif)
    assert read_picture(str(tmp_path / "photo.jpg")).shape == (3, 8, 4)


def chunk(kind: bytes, body: bytes, right: bool = True) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body) ^ (not right))


@pytest.mark.parametrize("read", [read_picture, read_mask])
@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo.webp"])
@pytest.mark.parametrize("body", [b"II*\0\xff\xff\xff\x7f", b"nonsense", b"MM\0*\0\0\0\x08\xff\xff"])
def test_a_broken_exif_says_nothing_against_the_pixels(name: str, body: bytes, read: object, tmp_path: Path) -> None:
    white = Image.new("RGB", (8, 4), "white")
    white.save(tmp_path / name, exif=b"Exif\0\0" + body)
    seen = read(str(tmp_path / name))  # type: ignore[operator]
    assert seen.shape[-2:] == (4, 8)
    assert bool((seen == seen.new_full((), 255 if seen.dtype == torch.uint8 else 1)).all())


@pytest.mark.parametrize(
    "broken",
    [chunk(b"eXIf", b"II*", right=False), chunk(b"iCCP", b"profile\0\0junk"), chunk(b"zTXt", b"text\0\0junk")],
    ids=["eXIf", "iCCP", "zTXt"],
)
def test_nor_do_other_broken_metadata(broken: bytes, tmp_path: Path) -> None:
    pixels = noise(6, 9)
    payload = Path(saved(tmp_path, Image.fromarray(pixels))).read_bytes()
    (tmp_path / "broken.png").write_bytes(payload[:33] + broken + payload[33:])  # behind the header
    picture = read_picture(str(tmp_path / "broken.png"))
    assert np.array_equal(picture.permute(1, 2, 0).numpy(), pixels)


def test_the_photo_of_a_camera_that_puts_a_preview_behind_it(tmp_path: Path) -> None:
    photo, preview = Image.new("RGB", (16, 8), "white"), Image.new("RGB", (4, 2))
    photo.save(tmp_path / "photo.jpg", format="MPO", save_all=True, append_images=[preview])
    assert read_picture(str(tmp_path / "photo.jpg")).unique().tolist() == [255]


def test_a_palette_with_transparency(tmp_path: Path) -> None:
    palette = Image.new("P", (4, 1))
    palette.putpalette([10, 20, 30, 255, 255, 255])
    palette.putdata([0, 1, 1, 0])
    palette.save(tmp_path / "palette.png", transparency=bytes([0, 255]))
    assert read_picture(str(tmp_path / "palette.png")).unique().tolist() == [255]
    assert read_mask(str(tmp_path / "palette.png")).tolist() == [[False, True, True, False]]


def test_pictures_are_fitted_as_the_training_data_are(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(noise(20, 30)))
    fitted = fit_picture(read_picture(path), 16)
    assert np.array_equal(fitted.permute(1, 2, 0).numpy(), decode_image(Path(path).read_bytes(), 16))
    small = read_picture(saved(tmp_path, Image.fromarray(noise(16, 16))))
    assert fit_picture(small, 16) is small


def test_a_mask_is_fitted_with_its_picture_and_never_vanishes() -> None:
    mask = torch.zeros(64, 128, dtype=torch.bool)
    mask[20, 60] = True  # the square in the middle begins at column 32
    fitted = fit_mask(mask, 16)
    assert fitted.nonzero().tolist() == [[5, 7]]
    same = torch.ones(16, 16, dtype=torch.bool)
    assert fit_mask(same, 16) is same


@pytest.mark.parametrize("read", [read_picture, read_mask])
def test_refusals_are_one_line_with_the_key(read: object, tmp_path: Path) -> None:
    key = "image" if read is read_picture else "mask"
    text, cut, folder = tmp_path / "text.png", tmp_path / "cut.png", tmp_path / "folder"
    text.write_text("no picture")
    cut.write_bytes(Path(saved(tmp_path, Image.fromarray(noise(64, 64)))).read_bytes()[:2000])
    folder.mkdir()
    gif = saved(tmp_path, Image.new("L", (4, 4)), "moving.gif")
    heic = str(tmp_path / "photo.heic")
    Path(heic).write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    moving = str(tmp_path / "moving.webp")
    frames = [Image.fromarray(noise(8, 8, seed)) for seed in range(3)]
    frames[0].save(moving, save_all=True, append_images=frames[1:])
    cases = {
        str(tmp_path / "none.png"): "no such file",
        str(folder): "is a directory",
        str(text): "holds no picture",
        gif: "a GIF file, which is not read",
        heic: "an HEIC or AVIF picture or a film, which are not read",
        moving: "an animation of 3 frames; save one of them",
        str(cut): "damaged",
        header_only(tmp_path, 8200, 8200): "too large",
    }
    for path, said in cases.items():
        with pytest.raises(ValueError, match=said) as caught:
            read(path)  # type: ignore[operator]
        assert str(caught.value).startswith(f"{key}={path}: ")
        assert "\n" not in str(caught.value)


def test_a_decompression_bomb_is_refused_without_a_warning(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    for side in (10_000, 60_000):  # Pillow warns of the first and refuses the second
        with pytest.raises(ValueError, match=f"{MOST_PIXELS:,} pixels at most"):
            read_picture(header_only(tmp_path, side, side))
    assert not recwarn.list
