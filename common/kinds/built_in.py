"""The kinds that come with meshtwin: what they take, give and cost. Their code is in the modules beside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from common.kinds.kind import MIB, Cost, Parameters, TaskKind
from common.record import Field

MAX_PIXELS: Final = 40_000_000


class InferenceParameters(Parameters):
    """Of `infer`."""

    batch: int = Field(default=256, ge=1, le=4096)
    """Rows that are run at once: more are quicker, and take more memory."""
    threads: int = Field(default=1, ge=1, le=8)


class SpectrumParameters(Parameters):
    """Of `spectrum`."""

    format: Literal["wav", "f32", "i16"] = "wav"
    """A WAV file, or bare little-endian samples."""
    rate_hz: float = Field(default=16_000.0, gt=0, le=10_000_000)
    """Of bare samples; a WAV file tells its own."""
    channels: int = Field(default=1, ge=1, le=16)
    """Of bare samples."""
    window: int = Field(default=4096, ge=64, le=1 << 20)
    """Samples that one spectrum covers; windows overlap by half."""
    bands: int = Field(default=16, ge=1, le=256)
    """Bands of equal ratio between the lowest frequency and half the rate."""
    lowest_hz: float = Field(default=10.0, gt=0, le=100_000)
    peaks: int = Field(default=5, ge=0, le=64)
    """The strongest frequencies that are told."""


class CompressParameters(Parameters):
    """Of `compress`."""

    method: Literal["zlib", "lzma"] = "zlib"
    level: int = Field(default=6, ge=0, le=9)
    templates: int = Field(default=10, ge=0, le=100)
    """The most frequent kinds of lines that the summary tells, numbers left out."""


class ThumbnailParameters(Parameters):
    """Of `thumbnail`."""

    width: int = Field(default=320, ge=1, le=4096)
    height: int = Field(default=240, ge=1, le=4096)
    """The image keeps its shape and fits into both."""
    format: Literal["jpeg", "png", "webp"] = "jpeg"
    quality: int = Field(default=80, ge=1, le=95)


class DifferenceParameters(Parameters):
    """Of `difference`."""

    width: int = Field(default=320, ge=8, le=4096)
    """Both images are compared at this width."""
    threshold: int = Field(default=24, ge=1, le=255)
    """Brightness by which a pixel has to differ."""


class ForecastParameters(Parameters):
    """Of `forecast`."""

    window_s: float = Field(default=10.0, gt=0, le=86_400)
    """The time that a window of the series usually covers."""


class MeasureParameters(Parameters):
    """Of `measure`."""

    rounds: int = Field(default=100_000, ge=1, le=1_000_000_000)
    memory_mib: int = Field(default=0, ge=0, le=4096)
    """Memory that is written to meanwhile."""


def _inference(given: InferenceParameters, sizes: Mapping[str, int]) -> Cost:
    model, data = sizes.get("model", 0), sizes.get("data", 0)
    # A weight meets every row about once; rows of a hundred values.
    return Cost(0.05 + 2e-12 * model * data, max(64, data // 10), 3 * model + 4 * data + 64 * MIB)


def _spectrum(given: SpectrumParameters, sizes: Mapping[str, int]) -> Cost:
    data = sizes.get("block", 0)
    return Cost(0.012 + 4.5e-8 * data, 100 * given.bands, 14 * data + 40 * MIB)


def _compress(given: CompressParameters, sizes: Mapping[str, int]) -> Cost:
    data = sum(sizes.values())
    byte_s = 4.1e-7 if given.method == "lzma" else 8e-8
    return Cost(0.002 + byte_s * data, 2048 + data // 6, 8 * data + 100 * MIB)


def _thumbnail(given: ThumbnailParameters, sizes: Mapping[str, int]) -> Cost:
    data = sizes.get("image", 0)
    return Cost(0.005 + 1e-8 * data, given.width * given.height // 5, 40 * data + 32 * MIB)


def _difference(given: DifferenceParameters, sizes: Mapping[str, int]) -> Cost:
    data = sum(sizes.values())
    return Cost(0.005 + 2.5e-8 * data, given.width**2 // 10, 40 * data + 32 * MIB)


def _forecast(given: ForecastParameters, sizes: Mapping[str, int]) -> Cost:
    series = sizes.get("series", 0)
    return Cost(0.05 + 2e-7 * series, series // 4 + 256, 30 * series + 48 * MIB)


def _measure(given: MeasureParameters, sizes: Mapping[str, int]) -> Cost:
    return Cost(3e-7 * given.rounds, 150, given.memory_mib * MIB + MIB)


INFER: Final = TaskKind(
    "infer",
    "Runs a TFLite model over a batch of rows.",
    "common.kinds.inference:infer",
    _inference,
    InferenceParameters,
    inputs=("model", "data"),
    outputs=("outputs", "report"),
    needs="tasks",
)

SPECTRUM: Final = TaskKind(
    "spectrum",
    "Spectral features of a vibration or audio block: bands, rms, crest, kurtosis, peaks.",
    "common.kinds.spectrum:spectrum",
    _spectrum,
    SpectrumParameters,
    inputs=("block",),
    outputs=("features",),
    needs="tasks",
)

COMPRESS: Final = TaskKind(
    "compress",
    "Packs logs, and summarises their lines.",
    "common.kinds.compression:compress",
    _compress,
    CompressParameters,
    inputs=("data",),
    more=True,
    outputs=("packed", "summary"),
)

THUMBNAIL: Final = TaskKind(
    "thumbnail",
    "A small version of an image.",
    "common.kinds.pictures:thumbnail",
    _thumbnail,
    ThumbnailParameters,
    inputs=("image",),
    outputs=("thumbnail",),
    needs="tasks",
)

DIFFERENCE: Final = TaskKind(
    "difference",
    "Where two images of the same place differ.",
    "common.kinds.pictures:difference",
    _difference,
    DifferenceParameters,
    inputs=("before", "after"),
    outputs=("mask", "report"),
    needs="tasks",
)

FORECAST: Final = TaskKind(
    "forecast",
    "What a site's links will deliver, from their recent windows; by a model where one is given.",
    "common.kinds.forecast:forecast",
    _forecast,
    ForecastParameters,
    inputs=("series",),
    optional=("model",),
    outputs=("forecast",),
    needs="tasks",
)

MEASURE: Final = TaskKind(
    "measure",
    "Work of known size for the processor: how fast a machine is.",
    "common.kinds.measure:measure",
    _measure,
    MeasureParameters,
    outputs=("report",),
)

KINDS: Final = {
    kind.name: kind for kind in (INFER, SPECTRUM, COMPRESS, THUMBNAIL, DIFFERENCE, FORECAST, MEASURE)
}
