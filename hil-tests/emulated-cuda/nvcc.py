"""What candle takes for nvcc: it compiles kernels for the processors.

What it writes as PTX is the path of a library, as the emulated NVRTC does. Files that are none of KERNELS are for
quantized models, of which nothing is needed here: what it makes of them has no kernel.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
KERNELS = ["affine", "binary", "cast", "fill", "indexing", "reduce", "ternary", "unary"]

# The version and the architecture decide which parts are compiled: those without half precision.
DEFINES = ["-D__CUDACC_VER_MAJOR__=13", "-D__CUDACC_VER_MINOR__=0", "-D__CUDA_ARCH__=520"]
ENTRY = 'extern "C" void run_{0}(const shim::Launch *launch, void **arguments) {{ shim::run({0}, *launch, arguments); }}\n'


def compile_kernels(source, folder):
    shim = Path(os.environ["EMULATED_FOLDER"]) / "shim.h"
    language = [os.environ["EMULATED_CXX"], "-x", "c++", "-std=c++17", "-w", *DEFINES, f"-I{HERE / 'include'}"]
    language += [f"-I{source.parent}", "-include", str(shim), "-include", str(HERE / "candle.h")]
    # Kernels are named by macros: in the text behind these, a word of our own marks them.
    text = subprocess.run([*language, "-DMARK_KERNELS", "-E", "-P", source], check=True, capture_output=True, text=True)
    names = re.findall(r"this_is_a_kernel\s+void\s+(\w+)\s*\(", text.stdout)
    program, library = folder / f"{source.stem}.cpp", folder / f"{source.stem}.so"
    program.write_text(f'#include "{source}"\n' + "".join(ENTRY.format(name) for name in dict.fromkeys(names)))
    options = ["-O2", "-march=native", "-ffp-contract=off", "-shared", "-fPIC"]
    subprocess.run([*language, *options, program, "-o", library], check=True)
    return library


def main(arguments):
    def after(option):
        return Path(arguments[arguments.index(option) + 1])

    if "--ptx" in arguments:
        source, folder = Path(arguments[-1]).resolve(), after("--output-directory")
        path = compile_kernels(source, folder) if source.stem in KERNELS else "/not/compiled"
        (folder / f"{source.stem}.ptx").write_text(str(path))
    elif "--lib" in arguments:
        subprocess.run(["ar", "rcs", after("-o"), *[word for word in arguments if word.endswith(".o")]], check=True)
    elif "-c" in arguments:
        empty = ["-x", "c++", "-c", "/dev/null", "-o", after("-o")]
        subprocess.run([os.environ["EMULATED_CXX"], *empty], check=True)
    else:
        print("Cuda compilation tools, release 13.0, V13.0.0\nsm_90")


main(sys.argv[1:])
