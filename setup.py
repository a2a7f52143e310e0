"""The compiled kernel; everything else is in pyproject.toml."""

import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

PACKAGE = Path("sluiceway")
SOURCES = sorted(PACKAGE.rglob("*.pyx"))
SHARED = [path.as_posix() for path in sorted(PACKAGE.rglob("*.px[di]"))]
FLAGS = ["-O3", "-fno-strict-aliasing"]

if not SOURCES:
    sys.exit(f"there is no kernel source in {PACKAGE}: build from a whole source tree or source distribution")

setup(
    ext_modules=cythonize(
        [
            Extension(
                ".".join(source.with_suffix("").parts), [source.as_posix()], depends=SHARED, extra_compile_args=FLAGS
            )
            for source in SOURCES
        ],
        language_level=3,
    )
)
