// A libnvrtc.so that compiles for the processors: it hands a program, after shim.h, to the system's C++ compiler. What
// it returns as PTX is the path of the library that came of it.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <unistd.h>

namespace {

enum { SUCCESS = 0, INVALID_OPTION = 5, COMPILATION = 6 };

// What it compiles for, as a compiler that is older than the GPU.
const int ARCHITECTURES[] = {75, 80};

struct Program { std::string source, ptx, log; };

int next_number = 0;

std::string environment(const char *name)
{
    const char *value = std::getenv(name);
    return value ? value : "";
}

// The program with an entry point for each kernel, which takes the launch and the arguments' addresses.
std::string with_entries(std::string source)
{
    source = std::regex_replace(source, std::regex("extern __shared__ float sorted\\[\\];"),
                                "static float sorted[1 << 16];");
    std::string entries;
    const std::regex kernel("__global__ void(?:\\s+__launch_bounds__\\([^)]*\\))?\\s+(\\w+)\\(");
    for (std::sregex_iterator at(source.begin(), source.end(), kernel), end; at != end; ++at) {
        const std::string name = (*at)[1];
        if (entries.find("run_" + name + "(") != std::string::npos) continue;
        entries += "extern \"C\" void run_" + name + "(const shim::Launch *launch, void **arguments)\n{\n    shim::run("
            + name + ", *launch, arguments);\n}\n";
    }
    return source + entries;
}

}

extern "C" {

int nvrtcCreateProgram(Program **program, const char *source, const char *, int, const char *const *,
                       const char *const *)
{
    *program = new Program{source, "", ""};
    return SUCCESS;
}

int nvrtcGetNumSupportedArchs(int *count) { return *count = 2, SUCCESS; }

int nvrtcGetSupportedArchs(int *architectures)
{
    std::memcpy(architectures, ARCHITECTURES, sizeof ARCHITECTURES);
    return SUCCESS;
}

int nvrtcCompileProgram(Program *program, int count, const char *const *options)
{
    // Without being told otherwise, NVRTC contracts products and sums, as no C++ compiler reliably does.
    bool is_exact = false, is_known = false;
    for (int i = 0; i < count; i++) {
        is_exact |= !std::strcmp(options[i], "--fmad=false");
        is_known |= !std::strcmp(options[i], "--gpu-architecture=compute_80");
    }
    if (!is_exact || !is_known) return INVALID_OPTION;
    std::ostringstream base;
    base << environment("EMULATED_FOLDER") << "/kernel-" << getpid() << "-" << next_number++;
    const std::string source = base.str() + ".cpp", library = base.str() + ".so", log = base.str() + ".log";
    std::ofstream(source) << with_entries(program->source);
    const std::string command = environment("EMULATED_CXX") + " -std=c++17 -O1 -march=native -w -shared -fPIC -ffp-contract=off"
        + " -include " + environment("EMULATED_FOLDER") + "/shim.h -o " + library + " " + source
        + " 2> " + log;
    const int status = std::system(command.c_str());
    std::stringstream text;
    text << std::ifstream(log).rdbuf();
    program->log = text.str();
    program->ptx = library;
    return status == 0 ? SUCCESS : COMPILATION;
}

int nvrtcGetPTXSize(Program *program, size_t *size)
{
    *size = program->ptx.size() + 1;
    return SUCCESS;
}

int nvrtcGetPTX(Program *program, char *ptx)
{
    std::strcpy(ptx, program->ptx.c_str());
    return SUCCESS;
}

int nvrtcGetProgramLogSize(Program *program, size_t *size)
{
    *size = program->log.size() + 1;
    return SUCCESS;
}

int nvrtcGetProgramLog(Program *program, char *log)
{
    std::strcpy(log, program->log.c_str());
    return SUCCESS;
}

int nvrtcDestroyProgram(Program **program)
{
    delete *program;
    *program = nullptr;
    return SUCCESS;
}

}
