"""The built-in kinds, on data whose answer is known; and what is no data at all."""

from __future__ import annotations

import array
import io
import json
import lzma
import math
import wave
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from common.errors import Rejected, RejectReason
from common.kinds import catalogue
from common.kinds.kind import Blobs
from common.models.link_forecast import INPUTS, OUTPUTS
from tests.models.bundles import NEWEST_PDR, persistence

RATE = 16_000


def run(kind: str, inputs: Blobs, **parameters: Any) -> Blobs:
    return catalogue.find(kind).run(parameters, inputs)


def tone(hertz: float, seconds: float = 2.0, level: float = 0.5) -> list[float]:
    return [level * math.sin(2 * math.pi * hertz * n / RATE) for n in range(int(RATE * seconds))]


def wav(*channels: list[float]) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(RATE)
        values = [round(32_767 * value) for frame in zip(*channels, strict=True) for value in frame]
        file.writeframes(array.array("h", values).tobytes())
    return buffer.getvalue()


def picture(width: int = 400, height: int = 300, patch: int = 0, form: str = "JPEG") -> bytes:
    image = Image.new("RGB", (width, height), (40, 90, 40))
    if patch:
        image.paste((250, 250, 250), (0, 0, patch, patch))
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def test_a_tone_shows_at_its_frequency_with_its_power_and_shape() -> None:
    told = json.loads(run("spectrum", {"block": wav(tone(1000), tone(250, level=0.1))})["features"])
    first, second = told["channels"]
    assert told["rate_hz"] == RATE
    assert first["peaks"][0]["hz"] == pytest.approx(1000, abs=4)
    assert second["peaks"][0]["hz"] == pytest.approx(250, abs=4)
    assert first["rms"] == pytest.approx(0.5 / math.sqrt(2), rel=0.01)
    assert first["crest"] == pytest.approx(math.sqrt(2), rel=0.01)
    assert first["kurtosis"] == pytest.approx(1.5, rel=0.01)
    assert sum(band["power"] for band in first["bands"]) == pytest.approx(0.125, rel=0.01)


@pytest.mark.parametrize(("form", "code", "scale"), [("f32", "f", 1.0), ("i16", "h", 32_768)])
def test_bare_samples_tell_the_same_as_a_wav_file(form: str, code: str, scale: float) -> None:
    values = [value * scale if form == "f32" else round(value * scale) for value in tone(1000)]
    block = array.array(code, values).tobytes()
    told = json.loads(run("spectrum", {"block": block}, format=form, rate_hz=RATE)["features"])
    assert told["channels"][0]["rms"] == pytest.approx(0.5 / math.sqrt(2), rel=0.01)


@pytest.mark.parametrize("block", [b"", b"RIFF", wav(tone(1000))[:60], b"\xff" * 400])
def test_what_is_no_sound_is_refused(block: bytes) -> None:
    with pytest.raises(Rejected):
        run("spectrum", {"block": block})


def test_a_sound_whose_parts_claim_more_than_there_is_is_refused_in_words() -> None:
    damaged = bytearray(wav(tone(1000, 0.02)))
    damaged[2070 % len(damaged)] ^= 0xCF
    for block in (bytes(damaged), b""):
        with pytest.raises(Rejected, match=r"no WAV file: \w"):
            run("spectrum", {"block": block})


def test_samples_that_are_no_numbers_are_refused() -> None:
    block = array.array("f", [0.0, math.nan, 1.0]).tobytes()
    with pytest.raises(Rejected) as caught:
        run("spectrum", {"block": block}, format="f32")
    assert caught.value.reason is RejectReason.MALFORMED


@pytest.mark.parametrize(("method", "undo"), [("zlib", zlib.decompress), ("lzma", lzma.decompress)])
def test_packed_logs_come_back_and_are_summarised(method: str, undo: Any) -> None:
    log = b"".join(b"12:%02d error: node 0x%04x lost\n" % (n % 60, n) for n in range(300)) + b"ok\n"
    found = run("compress", {"data": log, "more": b"warning: x\n"}, method=method)
    told = json.loads(found["summary"])
    assert undo(found["packed"]) == log + b"warning: x\n"
    assert told["lines"] == 302
    assert told["levels"] == {"error": 300, "warning": 1}
    assert told["templates"][0] == ["#:# error: node # lost", 300]
    assert told["packed_bytes"] == len(found["packed"]) < len(log)


def test_a_thumbnail_keeps_the_images_shape() -> None:
    found = run("thumbnail", {"image": picture(800, 400)}, width=100, height=100, format="png")
    assert Image.open(io.BytesIO(found["thumbnail"])).size == (100, 50)


def test_a_difference_is_where_it_is() -> None:
    found = run(
        "difference", {"before": picture(form="PNG"), "after": picture(patch=100, form="PNG")}, width=400
    )
    told = json.loads(found["report"])
    assert told["changed"] == pytest.approx(100 * 100 / (400 * 300), rel=0.1)
    assert told["box"][:2] == [0, 0]
    assert 95 <= told["box"][2] <= 105


@pytest.mark.parametrize("image", [b"", b"no image", picture()[:500], b"%!PS-Adobe EPSF-3.0\n" * 9])
def test_what_is_no_image_is_refused(image: bytes) -> None:
    with pytest.raises(Rejected):
        run("thumbnail", {"image": image})


def test_an_image_that_would_not_fit_is_refused_before_it_is_unpacked() -> None:
    buffer = io.BytesIO()
    Image.new("1", (8_000, 6_000)).save(buffer, "PNG")
    with pytest.raises(Rejected) as caught:
        run("thumbnail", {"image": buffer.getvalue()})
    assert caught.value.reason is RejectReason.OVERSIZED


def series(falling: bool) -> bytes:
    heard = [10, 9, 8, 7, 6, 5, 4, 3] if falling else [9] * 8
    rows = [{"link": "0x0001-0x0002", "t": 10 * n, "heard": h, "expected": 10} for n, h in enumerate(heard)]
    return "\n".join(map(json.dumps, rows)).encode()


def test_a_falling_link_is_expected_to_fall_and_a_steady_one_to_stay() -> None:
    falling, steady = (
        json.loads(run("forecast", {"series": series(falling=f)})["forecast"])["links"]["0x0001-0x0002"]
        for f in (True, False)
    )
    assert falling["pdr"][0] > falling["pdr"][2]
    assert falling["pdr"][2] < 0.25
    assert steady["pdr"][0] == pytest.approx(0.9, abs=0.05)
    assert all(
        low <= mid <= high
        for low, mid, high in zip(*(steady[k] for k in ("low", "pdr", "high")), strict=True)
    )


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[1]", b"nonsense", b'{"link": "a", "t": 0, "heard": 5, "expected": 2}']
)
def test_a_series_that_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(Rejected):
        run("forecast", {"series": text})


def test_a_model_is_run_over_a_batch_in_parts() -> None:
    rows = np.random.default_rng(1).normal(size=(600, INPUTS)).astype("<f4")
    found = run("infer", {"model": persistence().content, "data": rows.tobytes()}, batch=256)
    told = json.loads(found["report"])
    outputs = np.frombuffer(found["outputs"], "<f4").reshape(told["shape"])
    assert (told["rows"], told["shape"], told["type"]) == (600, [600, OUTPUTS], "float32")
    assert outputs[:, 0] == pytest.approx(rows[:, NEWEST_PDR], rel=1e-5)


def test_data_that_are_no_rows_are_refused() -> None:
    with pytest.raises(Rejected) as caught:
        run("infer", {"model": persistence().content, "data": bytes(4 * INPUTS + 1)})
    assert caught.value.reason is RejectReason.INVALID


def test_a_site_is_forecast_by_the_model_that_agents_use() -> None:
    found = run("forecast", {"series": series(falling=True), "model": persistence().content})
    told = json.loads(found["forecast"])
    assert told["by"] == "model"
    # This one expects that everything stays as it was last.
    assert told["links"]["0x0001-0x0002"]["pdr"] == pytest.approx([0.32] * 3, abs=0.03)


@pytest.mark.parametrize("model", [b"", b"no model", b"\x1c\0\0\0TFL3" + bytes(500)])
def test_what_is_no_model_is_refused(model: bytes) -> None:
    with pytest.raises(Rejected):
        run("infer", {"model": model, "data": bytes(64)})


def test_the_work_of_measure_is_the_same_everywhere() -> None:
    told = json.loads(run("measure", {}, rounds=3)["report"])
    assert told["digest"] == "12771355e46cd47c71ed1721fd5319b383cca3a1f9fce3aa1c8cd3bd37af20d7"


@pytest.mark.parametrize("name", sorted(catalogue.every()))
def test_every_kind_is_described_and_its_code_is_there(name: str) -> None:
    kind = catalogue.find(name)
    assert callable(kind.body())
    told = kind.described()
    assert told["outputs"]
    assert json.dumps(told, default=str)
    with pytest.raises(Rejected) as caught:
        kind.checked({"no_such_parameter": 1})
    assert caught.value.reason is RejectReason.INVALID


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_no_input_breaks_a_kind(data: st.DataObject) -> None:
    """Rejected is the one way out. Models are left out: their runtime may crash, which a worker is for."""
    name = data.draw(st.sampled_from(["spectrum", "compress", "thumbnail", "difference", "forecast"]))
    good = {"spectrum": wav(tone(1000, 0.02)), "compress": b"a 1\n", "forecast": series(falling=True)}
    whole = good.get(name, picture(20, 20))
    kind = catalogue.find(name)
    inputs = {}
    for key in kind.inputs:
        cut, flips = data.draw(st.integers(0, len(whole))), data.draw(st.binary(max_size=6))
        damaged = bytearray(whole[:cut] if data.draw(st.booleans()) else whole)
        for at, value in enumerate(flips):
            if damaged:
                damaged[value * (at + 7) % len(damaged)] ^= value
        inputs[key] = bytes(damaged)
    try:
        kind.run({}, inputs)
    except Rejected:
        pass
