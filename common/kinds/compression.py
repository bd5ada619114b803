"""Kind `compress`: packs logs, and tells what they consist of, so that few have to be unpacked."""

from __future__ import annotations

import json
import lzma
import re
import zlib
from collections import Counter
from typing import Any, Final

from common.kinds.built_in import CompressParameters
from common.kinds.kind import Blobs

_NUMBER: Final = re.compile(rb"0x[0-9a-fA-F]+|\d+")
_LEVELS: Final = {
    "error": re.compile(rb"\b(?:error|err|fatal|critical)\b", re.I),
    "warning": re.compile(rb"\b(?:warning|warn)\b", re.I),
}
MAX_LINE: Final = 400
"""Bytes of a line that are looked at: binary data has no lines."""
MAX_TEMPLATES: Final = 20_000


def compress(given: CompressParameters, inputs: Blobs) -> Blobs:
    """All inputs one behind the other, in the order of their names with `data` first."""
    names = ["data", *sorted(name for name in inputs if name != "data")]
    data = b"".join(inputs[name] for name in names)
    packed = zlib.compress(data, given.level) if given.method == "zlib" else _lzma(data, given.level)
    summary = {"method": given.method, "inputs": names, "bytes": len(data), "packed_bytes": len(packed)}
    return {"packed": packed, "summary": json.dumps(summary | _lines(data, given.templates)).encode()}


def _lzma(data: bytes, level: int) -> bytes:
    return lzma.compress(data, preset=level)


def _lines(data: bytes, wanted: int) -> dict[str, Any]:
    templates: Counter[bytes] = Counter()
    levels: Counter[str] = Counter()
    lines = data.splitlines()
    for line in lines:
        shown = line[:MAX_LINE]
        levels.update(name for name, pattern in _LEVELS.items() if pattern.search(shown))
        template = _NUMBER.sub(b"#", shown)
        if template in templates or len(templates) < MAX_TEMPLATES:
            templates[template] += 1
    return {
        "lines": len(lines),
        "levels": dict(levels),
        "longest": max(map(len, lines), default=0),
        "templates": [[_text(t), count] for t, count in templates.most_common(wanted)],
        "templates_known": len(templates),
    }


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")[:200]
