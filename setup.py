"""The compiled kernel; everything else is in pyproject.toml."""

from Cython.Build import cythonize
from setuptools import Extension, setup

setup(
    ext_modules=cythonize(
        [Extension("sluiceway.otlp._wire", ["sluiceway/otlp/_wire.pyx"], extra_compile_args=["-O3", "-fno-strict-aliasing"])],
        language_level=3,
    )
)
