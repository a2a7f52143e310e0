"""The compiled kernel; everything else is in pyproject.toml."""

import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

HERE = Path("sluiceway/otlp")
SOURCES = sorted(HERE.glob("*.pyx"))
SHARED = [path.as_posix() for path in sorted(HERE.glob("*.px[di]"))]
FLAGS = ["-O3", "-fno-strict-aliasing"]

if not SOURCES:
    sys.exit(f"there is no kernel source in {HERE}: build from a whole source tree or source distribution")

setup(
    ext_modules=cythonize(
        [
            Extension(f"sluiceway.otlp.{source.stem}", [source.as_posix()], depends=SHARED, extra_compile_args=FLAGS)
            for source in SOURCES
        ],
        language_level=3,
    )
)
