"""decoding: whatever holds all pixels is read, whatever the file; every other file is refused."""

import errno
import io
import os
import resource
import struct
import time
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from subprocess import run
from sys import executable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from handwriting.core.errors import InputError
from handwriting.preprocessing import decoding
from tests import memory, pictures
from tests.pictures import Pixels, chunk, encoded, letter, png
from tests.workspace import ROOT

EXACT, LOSSY = pictures.exact(), pictures.lossy()
GRAY, RGB = letter(), letter().convert("RGB")
PLAIN = encoded(RGB)
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 83, 3), dtype=np.uint8))


def decoded(file: bytes | Image.Image) -> Pixels:
    """Return the pixels of a file, black on white, as grey."""
    content = encoded(file) if isinstance(file, Image.Image) else file
    found = decoding.decode(content, "x.png")
    assert found.dtype == np.uint8
    assert found.ndim == 2 or found.shape[2:] == (3,)
    gray = found if found.ndim == 2 else np.asarray(Image.fromarray(found).convert("L"))
    return gray if gray[0, 0] > 127 else 255 - gray


def refusal(file: bytes | Image.Image) -> str:
    with pytest.raises(InputError) as caught:
        decoded(file)
    name, _, message = str(caught.value).partition(": ")
    assert name == "x.png"
    assert "\n" not in message
    return message


# What is read.


@pytest.mark.parametrize("name", [*EXACT, *LOSSY])
def test_the_same_picture_in_another_file_has_the_same_pixels_or_nearly_if_lossy(name: str) -> None:
    difference = np.abs(decoded((EXACT | LOSSY)[name]).astype(int) - np.asarray(GRAY)).mean()
    assert difference == 0 if name in EXACT else difference < 2


def test_every_kind_that_is_said_to_be_read_is_read() -> None:
    starts = {name.split()[0] for name in EXACT | LOSSY}
    named = {"j2k": "JPEG2000", "jp2": "JPEG2000", "pgm": "PPM"}
    assert {named.get(start, start.upper()) for start in starts} == set(decoding.KINDS)


def test_grey_images_have_one_channel_and_coloured_ones_three() -> None:
    gray = [name for name in EXACT | LOSSY if name.split()[1:2] in (["L"], ["1"], ["int16"])]
    coloured = [name for name in EXACT | LOSSY if "RGB" in name.split()]
    assert len(gray) > 5 < len(coloured)
    for names, shape in (gray, (72, 96)), (coloured, (72, 96, 3)):
        for name in names:
            assert decoding.decode((EXACT | LOSSY)[name], name).shape == shape


def test_the_fast_decoders_give_the_pixels_of_pillow() -> None:
    contents = [encoded(NOISE), encoded(NOISE.convert("L"), "JPEG")]
    for archive, step in ("mnistTask3", 4), ("trainPart1", 16):
        with zipfile.ZipFile(ROOT / f"data/sample/{archive}.zip") as file:
            names = [name for name in file.namelist() if not name.endswith("/")]
            contents += map(file.read, names[::step])
    for content in contents:
        slow = np.asarray(Image.open(io.BytesIO(content)))
        assert np.array_equal(decoding.decode(content, "x"), slow)


def test_the_fast_decoders_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(decoding, "_by_pillow")
    text = png(np.asarray(RGB).reshape(72, -1), 8, 2, [chunk(b"tEXt", b"Software\0a program")])
    for content in (PLAIN, encoded(GRAY, "JPEG", quality=95), text):
        assert decoded(content).shape == (72, 96)


def test_an_orientation_in_xmp_or_text_is_applied() -> None:
    side = np.asarray(RGB.transpose(Image.Transpose.ROTATE_90)).reshape(96, -1)
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = b"\nexif\n%8d\n%s\n" % (len(exif.tobytes()), exif.tobytes().hex().encode())
    for text in (
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp),
        chunk(b"tEXt", b"Raw profile type exif\0" + raw),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw)),
    ):
        assert np.array_equal(decoded(png(side, 8, 2, [text])), np.asarray(GRAY))


def test_a_heic_decoder_is_loaded_for_a_heic_alone() -> None:
    program = "import sys; from handwriting.preprocessing import decoding; "
    program += "decoding.decode(sys.stdin.buffer.read(), 'x'); print('pillow_heif' in sys.modules)"
    for name, loaded in ("png RGB", b"False"), ("avif RGB", b"False"), ("heic RGB", b"True"):
        content = (EXACT | LOSSY)[name]
        assert (
            run([executable, "-c", program], input=content, capture_output=True).stdout.strip()
            == loaded
        )


# Large images.


def photo(width: int, height: int) -> Image.Image:
    """Return a photo of the picture: noise of a camera, and light from one side."""
    image = letter(width // 4, height // 4).resize((width, height))
    noise = np.random.default_rng(0).integers(-16, 17, (256, 256))
    noise = np.tile(noise, (height // 256 + 1, width // 256 + 1))[:height, :width]
    values = 40 + np.asarray(image) // 2 + noise + 40 * np.arange(width) // width
    return Image.fromarray(values.astype(np.uint8)).convert("RGB")


@pytest.mark.parametrize(
    ("kind", "size", "least"),
    [
        *(("JPEG", (4032, 3024), (1512, 2016)), ("PNG", (4032, 3024), (1512, 2016))),
        *(("JPEG", (3200, 2400), (1200, 1600)), ("WEBP", (3200, 2400), (1200, 1600))),
        *(("JPEG", (8000, 400), (400, 8000)), ("JPEG", (2000, 2000), (2000, 2000))),
    ],
)
def test_a_large_image_is_reduced_by_a_whole_number(
    kind: str, size: tuple[int, int], least: tuple[int, int]
) -> None:
    how = {"compress_level": 1} if kind == "PNG" else {}
    found = decoding.decode(encoded(photo(*size), kind, **how), "x")
    assert found.shape[:2] == least
    small = np.asarray(letter(size[0] // 4, size[1] // 4).resize(least[::-1]))
    assert np.corrcoef(found.mean(2).flat, small.flat)[0, 1] > 0.9


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "CMYK"])
def test_a_large_image_of_any_mode_is_reduced(mode: str) -> None:
    large = letter(3000, 2400).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        large = Image.fromarray(np.asarray(large) * np.uint16(257))
    found = decoded(encoded(large, "TIFF"))
    assert found.shape == (1200, 1500)
    assert np.abs(found.astype(int) - np.asarray(letter(1500, 1200))).mean() < 2


def decode_all(contents: list[bytes]) -> None:  # a plain function, which another process can import
    for content in contents:
        decoding.decode(content, "x")


def test_a_phone_photo_costs_a_tenth_of_a_second_and_little_memory() -> None:
    content = encoded(photo(4032, 3024), "JPEG", quality=88)
    assert 3_000_000 < len(content) < 9_000_000
    times = []
    for _ in range(3):
        start = time.process_time()
        decoding.decode(content, "x")
        times.append(time.process_time() - start)
    assert min(times) < 0.12
    assert memory.growth(partial(decode_all, [content] * 3)) < 80_000_000


# What is refused.


def damaged_jpeg(mode: str) -> bytes:
    content = encoded(NOISE.convert(mode), "JPEG")
    middle = len(content) // 2
    return content[:middle] + b"\xff\x00" * 20 + content[middle + 50 :]


def damaged_fax(compression: str, strip: int, fault: bytes, rows: int = 100) -> bytes:
    """Return a fax in strips, of which one has a fault in its middle."""
    page = letter(800, 600).convert("1")
    content = bytearray(encoded(page, "TIFF", compression=compression, tiffinfo={278: rows}))
    with Image.open(io.BytesIO(content)) as image:
        start, size = image.tag_v2[273][strip], image.tag_v2[279][strip]  # type: ignore[attr-defined]
    at, length = start + size // 2, min(size // 2, len(fault))
    content[at : at + length] = fault[:length]
    return bytes(content)


HEADLESS = PLAIN[:8] + chunk(b"eXIf", bytes(13)) + PLAIN[8:]
PNGS = [PLAIN, encoded(GRAY), encoded(GRAY.convert("P"))]
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0"
UTF_16 = "a\n text of two-byte characters".encode("utf-16-le")
CONFUSED = [
    b"",
    b"hello",
    EPS,
    b"BM",
    b"II*\0",
    b"\0\0\1\0",
    b"\0\0\2\0" * 50,
    UTF_16,
    bytes(99),
]
MP4 = b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(99)
TWELVE = encoded(RGB, "JPEG").replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c")
NAN = np.full((9, 9), np.nan, np.float32)
REFUSED: list[tuple[bytes | Image.Image, str]] = [
    *((each, "not an image") for each in (*CONFUSED, MP4)),
    *((each, "a damaged image") for each in (PLAIN[:8], PLAIN[:-60], PLAIN[:100], b"\xff\xd8\xff")),
    *((encoded(each, "JPEG")[:-100], "a damaged image") for each in (GRAY, RGB)),
    *((encoded(each, "JPEG")[:-100] + b"\xff\xd9", "a damaged image") for each in (GRAY, RGB)),
    *((encoded(RGB, "JPEG", progressive=True)[:size], "a damaged image") for size in (900, -200)),
    *(
        (each[:-16] + bytes(4) + each[-12:], "IDAT cut off or with a wrong checksum")
        for each in PNGS
    ),
    *((damaged_jpeg(mode), "a damaged image") for mode in ("L", "RGB")),
    *(
        (content[: len(content) * 2 // 3], "a damaged image")
        for name, content in (EXACT | LOSSY).items()
        if name.startswith(
            (
                "gif w",
                "tiff RGB",
                "webp l",
                "webp t",
                "heic R",
                "avif R",
                "jp2",
                "ico",
                "bmp",
                "pgm",
            )
        )
    ),
    *(
        (damaged_fax("group4", at, bytes(n)), "fax data that end early")
        for at in (1, 3)
        for n in (12, 99)
    ),
    (damaged_fax("group4", 0, bytes(40), 600), "fax data that end early"),
    (damaged_fax("group3", 2, bytes(20)), "Bad code word"),
    (damaged_fax("tiff_ccitt", 2, b"\xff" * 20), "a damaged image"),
    (HEADLESS, "a damaged image: no header"),
    (TWELVE, "a JPEG of 12 bits a channel: not read"),
    (encoded(Image.fromarray(NAN), "TIFF"), "pixels that are no numbers"),
]


@pytest.mark.parametrize(("file", "reason"), REFUSED)
def test_a_file_without_all_pixels_is_refused_and_no_library_prints(
    file: bytes | Image.Image, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert reason in refusal(file)
    assert capfd.readouterr() == ("", "")


def test_whole_faxes_are_read_whatever_is_on_them() -> None:
    pages = [
        letter(800, 600),
        Image.new("L", (800, 600), 255),
        Image.new("L", (800, 600)),
        letter(9, 7),
    ]
    for page in pages:
        for compression in ("group3", "group4", "tiff_ccitt"):
            for rows in (1, 7, 100, 600):
                how: dict[str, Any] = {"compression": compression, "tiffinfo": {278: rows}}
                found = decoding.decode(encoded(page.convert("1"), "TIFF", **how), "x")
                assert np.array_equal(found, np.asarray(page))


def test_what_others_print_during_a_tiff_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with decoding._libtiff_errors() as errors:
        for line in (b"one\n", b"Fax3Decode1D: Bad code word.\n", b"WARNING: two.\n"):
            os.write(2, line)
    assert errors == ["Fax3Decode1D: Bad code word.\n"]
    assert capfd.readouterr().err == "one\nWARNING: two.\n"


def test_threads_decode_tiffs_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    damaged, whole = damaged_fax("group3", 2, bytes(20)), EXACT["tiff 1 as fax"]
    with ThreadPoolExecutor(4) as pool:
        refusals = list(pool.map(refusal, [damaged] * 40))
        found = list(pool.map(decoded, [whole] * 40))
    assert all("Bad code word" in each for each in refusals)
    assert all(np.array_equal(each, np.asarray(GRAY)) for each in found)
    assert capfd.readouterr() == ("", "")


def test_a_tiff_is_decoded_without_standard_error() -> None:
    program = "import os, sys; from handwriting.preprocessing import decoding; os.close(2); "
    program += "print(decoding.decode(sys.stdin.buffer.read(), 'x').shape)"
    done = run([executable, "-c", program], input=EXACT["tiff 1 as fax"], capture_output=True)
    assert done.stdout == b"(72, 96)\n"


def test_random_bytes_are_not_an_image() -> None:
    random = np.random.default_rng(0)
    for kind in range(12):  # the types of TGA among them
        for _ in range(40):
            content = bytes([random.integers(2), kind % 2, kind]) + random.bytes(500)
            assert "not an image" in refusal(content)


# Costs are bounded.


def test_too_many_pixels_are_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_PIXELS", 96 * 72 - 1)
    # A comment that looks like the frame of a small picture.
    comment = encoded(GRAY, "JPEG", comment=b"\xff\xc0\x00\x0b\x08\x00\x09\x00\x09\x01")
    for content in [*EXACT.values(), *LOSSY.values(), comment]:
        assert refusal(content) == "more than 6,911 pixels: too large"


def test_many_scans_are_refused_before_decoding() -> None:
    image = Image.new("L", (7000, 7000), 255)
    content = encoded(image, "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    decoding.decode(content, "x")
    content = content[:last] + content[last:-2] * 900 + b"\xff\xd9"
    start = time.process_time()
    assert refusal(content).endswith("scans of 49,000,000 pixels: too many")
    assert time.process_time() - start < 0.1


def python_decoded() -> Iterator[bytes]:
    side = 3000
    header = b"P5 %d %d 4095\n" % (side, side)
    yield header + bytes(2 * side * side)
    yield b"P1 %d %d\n" % (side, side) + b"1" * side * side
    yield pictures.bmp_rle(np.zeros((side // 3, side * 3), np.uint8))


def test_a_decoder_in_python_reads_no_large_file() -> None:
    for content in python_decoded():
        start = time.process_time()
        assert "bytes: too large for a " in refusal(content)
        assert time.process_time() - start < 0.5


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_only_the_first_of_many_frames_is_decoded(kind: str) -> None:
    one, frames = encoded(GRAY, kind), [Image.new("L", GRAY.size, i % 256) for i in range(300)]
    content = encoded(GRAY, kind, save_all=True, append_images=frames)
    assert np.abs(decoded(content).astype(int) - decoded(one)).max() < 40
    if kind == "GIF":  # what is behind is not looked at
        assert np.array_equal(decoded(content[:-3000] + b"\0" * 3000), decoded(one))


def bombs() -> dict[str, bytes]:
    """Return small files that would unpack to hundreds of megabytes."""
    packer = zlib.compressobj()
    zeros = b"".join(packer.compress(bytes(1_000_000)) for _ in range(200)) + packer.flush()
    rows = np.asarray(RGB).reshape(72, -1)
    files = {kind: bytearray(encoded(GRAY, kind)) for kind in ("PNG", "GIF", "JPEG")}
    files["RGB"] = bytearray(PLAIN)
    for file in (files["PNG"], files["RGB"]):
        file[16:24] = struct.pack(">II", 60_000, 60_000)
        file[29:33] = struct.pack(">I", zlib.crc32(file[12:29]))
    for kind, at in (("GIF", 6), ("JPEG", files["JPEG"].index(b"\xff\xc0") + 5)):
        files[kind][at : at + 4] = b"\xff\xff\xff\xff"
    huge = struct.pack(">II", 60_000, 60_000)
    icon = encoded(RGB, "ICO", sizes=[GRAY.size])
    dib = bytearray(encoded(RGB, "ICO", sizes=[GRAY.size], bitmap_format="bmp"))
    dib[26:34] = struct.pack("<II", 13_000, 26_000)
    jp2 = encoded(RGB, "JPEG2000").replace(struct.pack(">II", 96, 72), huge)
    tga = encoded(RGB, "TGA")
    return {name: bytes(file) for name, file in files.items()} | {
        "profile": png(rows, 8, 2, [chunk(b"iCCP", b"x\0\0" + zeros)]),
        "text": png(rows, 8, 2, [chunk(b"zTXt", b"x\0\0" + zeros)]),
        "texts": png(rows, 8, 2, [chunk(b"iTXt", b"x\0\1\0\0\0" + zeros)] * 5),
        "orientation": png(rows, 8, 2, [chunk(b"zTXt", b"Raw profile type exif\0\0" + zeros)] * 5),
        "rest": png(np.zeros((2, 3), np.uint8), 8, 2)[:33] + chunk(b"IDAT", zeros),
        "icon": icon.replace(PLAIN[16:24], huge),
        "icon of a bitmap": bytes(dib),
        "jp2": jp2,
        "tga": tga[:12] + b"\xff\xff\xff\xff" + tga[16:],
        "tiff": EXACT["tiff RGB"].replace(
            struct.pack("<HHII", 256, 4, 1, 96)[:8], b"\0\1\4\0\1\0\0\0"
        ),
    }


def all_bombs() -> None:  # a plain function, which another process can import
    for name, content in bombs().items():
        if name in ("PNG", "RGB", "GIF", "tga"):
            assert refusal(content) == "more than 50,000,000 pixels: too large"
        else:
            with suppress(InputError):
                decoded(content)


def test_decompression_bombs_take_no_memory(capfd: pytest.CaptureFixture[str]) -> None:
    assert memory.growth(all_bombs) < 150_000_000
    assert capfd.readouterr() == ("", "")


@contextmanager
def starved(spare: int) -> Iterator[None]:
    """Let this process have only so many bytes more."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + spare, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


STARVED = (("RGB", "PNG"), ("L", "JPEG"), ("RGB", "JPEG"), ("RGB", "BMP"))


def starve(contents: list[bytes]) -> None:  # a plain function, which another process can import
    for content in contents:
        with starved(spare=30_000_000):
            assert refusal(content) == "not enough memory to decode it"


def test_too_little_memory_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    contents = [encoded(Image.new(mode, (7000, 7000)), kind) for mode, kind in STARVED]
    assert memory.growth(partial(starve, contents)) < 200_000_000
    assert capfd.readouterr() == ("", "")


class PanicException(BaseException):
    """As a decoder in Rust raises it."""


@pytest.mark.parametrize(
    "error", [RecursionError("too deep"), PanicException("lost"), KeyError("x")]
)
def test_whatever_a_decoder_raises_is_one_line(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Pixels:
        raise error

    monkeypatch.setattr(decoding, "_by_pillow", fail)
    assert refusal(encoded(GRAY)) == f"a damaged image: {error}"


def test_an_interrupt_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Pixels:
        raise KeyboardInterrupt

    monkeypatch.setattr(decoding, "_by_pillow", fail)
    with pytest.raises(KeyboardInterrupt):
        decoded(encoded(GRAY))


# Files.


def test_only_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PLAIN)
    os.mkfifo(tmp_path / "fifo")
    assert decoding.read(tmp_path / "a.png") == decoding.read(str(tmp_path / "a.png")) == PLAIN
    reasons = {
        "fifo": "no regular file",
        ".": "a folder, no file",
        "b": os.strerror(errno.ENOENT),
    }
    for name, reason in reasons.items():
        with pytest.raises(InputError, match=f"^{tmp_path / name}: {reason}$"):
            decoding.read(tmp_path / name)
    with pytest.raises(InputError, match=r"^/dev/zero: no regular file$"):
        decoding.read("/dev/zero")


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(1 << 40)  # it takes no room
    with pytest.raises(InputError, match=r"a\.png: more than 209,715,200 bytes: too large"):
        decoding.read(tmp_path / "a.png")
