"""Kinds `thumbnail` and `difference`: small versions of a camera's images, and where two of them differ."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from PIL import Image, ImageChops, ImageOps

from common.errors import Rejected, RejectReason
from common.kinds.built_in import MAX_PIXELS, DifferenceParameters, ThumbnailParameters
from common.kinds.kind import Blobs

FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""What is read: Pillow knows formats that start other programs."""


def thumbnail(given: ThumbnailParameters, inputs: Blobs) -> Blobs:
    """The image, turned as its camera was held, no larger than asked. Raises Rejected."""
    with _opened(inputs["image"]) as image:
        # JPEG only: decodes a fraction of the pixels.
        image.draft("RGB", (2 * given.width, 2 * given.height))
        upright = ImageOps.exif_transpose(image)
        upright.thumbnail((given.width, given.height))
        return {"thumbnail": _saved(upright, given.format, given.quality)}


def difference(given: DifferenceParameters, inputs: Blobs) -> Blobs:
    """A mask that is white where the images differ, and how much that is. Raises Rejected."""
    with _opened(inputs["before"]) as first, _opened(inputs["after"]) as second:
        height = max(1, round(given.width * first.height / first.width))
        size = (given.width, min(height, 4 * given.width))
        for image in (first, second):
            image.draft("L", (2 * size[0], 2 * size[1]))
        before, after = (image.convert("L").resize(size) for image in (first, second))
    apart = ImageChops.difference(before, after)
    mask = apart.point([255 if level >= given.threshold else 0 for level in range(256)])
    changed = mask.histogram()[255]
    levels = apart.histogram()
    report = {
        "size": list(size),
        "changed": changed / (size[0] * size[1]),
        "box": mask.getbbox(),
        "mean_difference": sum(level * count for level, count in enumerate(levels)) / (size[0] * size[1]),
    }
    return {"mask": _saved(mask, "png", 0), "report": json.dumps(report).encode()}


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """Raises Rejected: OVERSIZED before its pixels take memory, or MALFORMED."""
    try:
        with warnings.catch_warnings():
            # Our own limit is lower and an error.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise Rejected(RejectReason.OVERSIZED, f"an image of {image.width} x {image.height}")
                yield image
    except Image.DecompressionBombError as error:
        raise Rejected(RejectReason.OVERSIZED, str(error)[:300]) from error
    except (OSError, ValueError, SyntaxError, EOFError, IndexError) as error:
        raise Rejected(RejectReason.MALFORMED, f"this is no image: {error}"[:300]) from error


def _saved(image: Image.Image, form: str, quality: int) -> bytes:
    buffer = io.BytesIO()
    plain = image.convert("RGB") if form == "jpeg" else image
    plain.save(buffer, form.upper(), **({"quality": quality} if form in ("jpeg", "webp") else {}))
    return buffer.getvalue()
