"""The compiled kernel; everything else is in pyproject.toml."""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

HERE = Path("sluiceway/otlp")
SHARED = [path.as_posix() for path in sorted(HERE.glob("*.px[di]"))]
FLAGS = ["-O3", "-fno-strict-aliasing"]

setup(
    ext_modules=cythonize(
        [
            Extension(f"sluiceway.otlp.{source.stem}", [source.as_posix()], depends=SHARED, extra_compile_args=FLAGS)
            for source in sorted(HERE.glob("*.pyx"))
        ],
        language_level=3,
    )
)
