"""What pyproject.toml cannot say: the hot loops of placement are compiled where that is possible.

Everything runs without: the modules are Python, a compiler makes them faster. Contraction of a product and a
sum into one operation (aarch64 has it always) would make results differ from the interpreted ones.
"""

from __future__ import annotations

from pathlib import Path

from setuptools import Extension, setup

KERNEL = Path("common/placement/kernel")
DIRECTIVES = {
    "language_level": "3",
    "annotation_typing": False,
    "boundscheck": False,
    "cdivision": True,
    "initializedcheck": False,
    "wraparound": False,
}


def extensions() -> list[Extension]:
    """One for each typed module; none without Cython."""
    try:
        from Cython.Build import cythonize
    except ImportError:
        return []
    found = [
        Extension(
            ".".join(types.with_suffix("").parts),
            [str(types.with_suffix(".py"))],
            extra_compile_args=["-O3", "-g0", "-fno-semantic-interposition", "-ffp-contract=off"],
        )
        for types in sorted(KERNEL.glob("*.pxd"))
    ]
    made: list[Extension] = cythonize(
        found, build_dir="build/cython", compiler_directives=DIRECTIVES, quiet=True
    )
    for extension in made:
        # Without a compiler the installation goes on. Cython does not hand this on from `found`.
        extension.optional = True
    return made


if __name__ == "__main__":
    setup(ext_modules=extensions())
