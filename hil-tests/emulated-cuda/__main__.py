"""Runs a command where CUDA is emulated by the processors: a driver, NVRTC, cuBLAS and a compiler for candle's kernels.

    python3 hil-tests/emulated-cuda cargo test -p hil-tests --lib --features cuda-training batched
    python3 hil-tests/emulated-cuda cargo run -p hil-tests --features cuda-training -- \\
        agree scenario.toml --on software,batched --device cuda:0

It needs Rust, Python and g++, and neither a GPU nor CUDA's toolkit. What cargo builds goes to a folder of its own. With
EMULATED_COUNTS=1 each program prints, when it ends, how often it launched which kernel. docs/cuda.md says what this
tells of a GPU, and what it does not.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
EMULATOR = HERE.parents[1] / "aggregator-node" / "tests" / "cuda" / "emulator"
FOLDER = HERE.parents[1] / "target" / "emulated-cuda"

# What programs are linked to, and the source of each that has one.
LIBRARIES = {
    "cuda": EMULATOR / "cuda.cpp",
    "nvrtc": EMULATOR / "nvrtc.cpp",
    "cublas": HERE / "cublas.cpp",
    "curand": HERE / "curand.cpp",
    "cublasLt": None,
    "cudart": None,
}


def build(compiler):
    for folder in ["bin", "include", "lib", "kernels"]:
        (FOLDER / folder).mkdir(parents=True, exist_ok=True)
    for name, source in LIBRARIES.items():
        flags = ["-std=c++17", "-O2", "-march=native", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-x", "c++"]
        library = FOLDER / "lib" / f"lib{name}.so"
        subprocess.run([compiler, *flags, source or "/dev/null", "-o", library, "-ldl"], check=True)
    shutil.copy(EMULATOR / "shim.h", FOLDER / "kernels")
    nvcc = FOLDER / "bin" / "nvcc"
    nvcc.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{HERE / "nvcc.py"}" "$@"\n')
    nvcc.chmod(0o755)


def main():
    if len(sys.argv) < 2 or sys.argv[1] in ["-h", "--help"]:
        sys.exit(__doc__)
    compiler = os.environ.get("CXX", "c++")
    build(compiler)
    library = str(FOLDER / "lib")
    settings = {
        "CUDA_HOME": str(FOLDER),
        "CUDA_COMPUTE_CAP": "90",
        "CUDARC_CUDA_VERSION": "13000",
        "CARGO_TARGET_DIR": str(FOLDER / "target"),
        "LIBRARY_PATH": library,
        "LD_LIBRARY_PATH": library,
        "EMULATED_CXX": compiler,
        "EMULATED_FOLDER": str(FOLDER / "kernels"),
        "EMULATED_MEMORY": os.environ.get("EMULATED_MEMORY", str(8 << 30)),
        "NVCC": str(FOLDER / "bin" / "nvcc"),
    }
    try:
        sys.exit(subprocess.run(sys.argv[1:], env=os.environ | settings).returncode)
    except FileNotFoundError:
        sys.exit(f"there is no program {sys.argv[1]}")


main()
