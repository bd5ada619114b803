"""The hot loops of placement: compiled where a compiler was at installation, interpreted elsewhere.

`MESHTWIN_INTERPRETED=1` in the environment leaves the compiled ones aside. Those that do not fit together, or
not this Python, are left aside too. Results are the same.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

from common.logs import get_logger

MODULES: Final = ("graph", "decoder", "choosing", "search", "cuts", "greedy", "roaming", "portfolio")
"""Each after those it imports."""


def load_interpreted() -> dict[str, ModuleType]:
    """The kernel's modules from their source, compiled or not; they take their names in `sys.modules`."""
    loaded = {}
    for module in MODULES:
        name = f"{__name__}.{module}"
        path = Path(__file__).with_name(f"{module}.py")
        spec = spec_from_file_location(name, path, loader=SourceFileLoader(name, str(path)))
        assert spec is not None
        assert spec.loader is not None
        loaded[name] = sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(loaded[name])
        # A compiled one may have been here before.
        globals()[module] = loaded[name]
    return loaded


def load() -> None:
    """All modules, compiled where they can be used; interpreted all of them otherwise."""
    try:
        for module in MODULES:
            import_module(f"{__name__}.{module}")
    except (ImportError, ValueError, TypeError, AttributeError) as error:
        # Built from another state of the source, or for another machine. Half of each kind would not do.
        get_logger(__name__).warning("placement-interpreted", reason=str(error))
        load_interpreted()


def is_compiled() -> bool:
    """Whether the kernel in use is machine code."""
    from common.placement.kernel import decoder

    return not str(decoder.__file__).endswith(".py")


if os.environ.get("MESHTWIN_INTERPRETED") == "1":
    load_interpreted()
else:
    load()
