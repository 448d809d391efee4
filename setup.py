"""Installs minicnn; the folder ``kernels/`` at the top becomes the package ``minicnn.kernels``."""

from setuptools import find_packages, setup

packages = [name for name in find_packages(include=["minicnn", "minicnn.*"]) if not name.startswith("minicnn.kernels")]
kernels = ["minicnn." + name for name in find_packages(include=["kernels", "kernels.*"])]

setup(
    packages=packages + kernels,
    package_dir={"minicnn": "minicnn", "minicnn.kernels": "kernels"},
    package_data={"minicnn": ["py.typed"], "minicnn.kernels": ["cuda/*.cu", "cuda/*.cuh"]},
)
