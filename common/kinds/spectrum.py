"""Kind `spectrum`: features of a vibration or audio block, from which wear of a bearing or a pump shows.

Welch's method: the mean power of half-overlapping Hann windows. Units are those of the samples; WAV samples
are scaled to ±1.
"""

from __future__ import annotations

import io
import json
import wave
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from common.errors import Rejected, RejectReason
from common.kinds.built_in import SpectrumParameters
from common.kinds.kind import Blobs

Samples = npt.NDArray[np.float32]
Powers = npt.NDArray[np.float64]
MAX_CHANNELS: Final = 16


def spectrum(given: SpectrumParameters, inputs: Blobs) -> Blobs:
    """Features of each channel as JSON. Raises Rejected(MALFORMED) for samples that are none."""
    samples, rate = _samples(given, inputs["block"])
    if samples.shape[0] < 2 or not np.isfinite(samples).all():
        raise Rejected(RejectReason.MALFORMED, "a block has two samples at least, and numbers only")
    channels = [_features(given, samples[:, number], rate) for number in range(samples.shape[1])]
    told = {"rate_hz": rate, "samples": int(samples.shape[0]), "channels": channels}
    return {"features": json.dumps(told).encode()}


def _samples(given: SpectrumParameters, block: bytes) -> tuple[Samples, float]:
    """[samples, channels], and the rate."""
    if given.format == "wav":
        return _wav(block)
    kind = np.dtype("<f4") if given.format == "f32" else np.dtype("<i2")
    if len(block) % (kind.itemsize * given.channels):
        raise Rejected(RejectReason.MALFORMED, "the block ends within a sample")
    flat = np.frombuffer(block, kind).astype(np.float32)
    scaled = flat / np.float32(32_768) if given.format == "i16" else flat
    return scaled.reshape(-1, given.channels), given.rate_hz


def _wav(block: bytes) -> tuple[Samples, float]:
    try:
        with wave.open(io.BytesIO(block)) as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            promised = file.getnframes() * width * channels
            frames = file.readframes(file.getnframes())
    except (wave.Error, EOFError, ValueError, OverflowError, RuntimeError) as error:
        # RuntimeError: a chunk says that it is longer than the file.
        why = str(error) or "it is cut or damaged"
        raise Rejected(RejectReason.MALFORMED, f"this is no WAV file: {why}") from error
    kinds: dict[int, tuple[str, float, float]] = {1: ("u1", 128.0, 128.0), 2: ("<i2", 0.0, 32_768.0)}
    kinds[4] = ("<i4", 0.0, 2_147_483_648.0)
    if width not in kinds or not 0 < channels <= MAX_CHANNELS or rate <= 0:
        raise Rejected(RejectReason.MALFORMED, f"WAV of {channels} channels with {8 * width} bits")
    code, middle, scale = kinds[width]
    if len(frames) != promised:
        raise Rejected(RejectReason.TRUNCATED, "the WAV file ends before its samples do")
    flat = (np.frombuffer(frames, code).astype(np.float32) - middle) / scale
    return flat.astype(np.float32).reshape(-1, channels), float(rate)


def _features(given: SpectrumParameters, signal: Samples, rate: float) -> dict[str, Any]:
    mean = float(signal.mean())
    centred = signal - np.float32(mean)
    variance = float(np.mean(centred * centred, dtype=np.float64))
    rms = variance**0.5
    peak = float(np.abs(centred).max())
    fourth = float(np.mean(centred.astype(np.float64) ** 4))
    frequencies, power = _welch(centred, rate, given.window)
    return {
        "mean": mean,
        "rms": rms,
        "peak": peak,
        "crest": peak / rms if rms else 0.0,
        "kurtosis": fourth / variance**2 if variance else 0.0,
        "centroid_hz": float((frequencies * power).sum() / power.sum()) if power.sum() else 0.0,
        "bands": _bands(given, frequencies, power, rate),
        "peaks": _peaks(frequencies, power, given.peaks),
    }


def _welch(signal: Samples, rate: float, window: int) -> tuple[Powers, Powers]:
    """Frequencies, and the power at each: the sum is the signal's variance, but for the windows' edges."""
    length = min(window, len(signal))
    taper = np.hanning(length + 2)[1:-1]
    total = np.zeros(length // 2 + 1)
    count = 0
    for start in range(0, len(signal) - length + 1, max(1, length // 2)):
        transformed = np.fft.rfft(signal[start : start + length] * taper)
        total += transformed.real**2 + transformed.imag**2
        count += 1
    power = total / (count * length * float((taper * taper).sum()))
    power[1 : (length + 1) // 2] *= 2
    return np.asarray(np.fft.rfftfreq(length, 1 / rate), np.float64), power


def _bands(
    given: SpectrumParameters,
    frequencies: Powers,
    power: npt.NDArray[np.float64],
    rate: float,
) -> list[dict[str, float]]:
    highest = rate / 2
    lowest = min(given.lowest_hz, highest / 2)
    edges = np.geomspace(lowest, highest, given.bands + 1)
    sums, _ = np.histogram(frequencies, bins=edges, weights=power)
    return [
        {"from_hz": round(float(low), 3), "to_hz": round(float(high), 3), "power": float(held)}
        for low, high, held in zip(edges[:-1], edges[1:], sums, strict=True)
    ]


def _peaks(frequencies: Powers, power: Powers, wanted: int) -> list[dict[str, float]]:
    """Local maxima, the strongest first."""
    inner = power[1:-1]
    tops = np.flatnonzero((inner > power[:-2]) & (inner >= power[2:])) + 1
    best = tops[np.argsort(-power[tops])][:wanted]
    return [{"hz": float(frequencies[at]), "power": float(power[at])} for at in best]
