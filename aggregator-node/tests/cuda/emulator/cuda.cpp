// A libcuda.so whose one GPU is the processors: the part of CUDA's driver interface that the tests come to. It is strict
// where a GPU is: launches beyond what a GPU can do are refused, memory is limited, freshly allocated memory holds NaNs,
// and a write beside it ends the program when it is freed.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <map>
#include <mutex>
#include <string>

namespace {

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_IMAGE = 200, INVALID_CONTEXT = 201, NOT_FOUND = 500 };

// Attributes of a GPU, and of a function, by their numbers in cuda.h.
enum { MAJOR = 75, MINOR = 76, SHARED_OPTIN = 97, MEMORY_POOLS = 115, DYNAMIC_SHARED = 8 };

const size_t GUARD = 256;
const unsigned char NOT_WRITTEN = 0xFF;
// Shared memory of a block: without being asked for, and at most.
const unsigned SHARED = 48 << 10, MOST_SHARED = 99 << 10;

std::recursive_mutex lock;
// The context of this thread: most calls need one.
thread_local void *context = nullptr;
std::map<char *, size_t> allocations;
size_t used = 0;

size_t memory()
{
    const char *bytes = std::getenv("EMULATED_MEMORY");
    return bytes ? std::strtoull(bytes, nullptr, 10) : size_t(1) << 30;
}

struct Function {
    std::string name;
    void (*run)(const void *, void **);
    unsigned shared;
};

// What the program asked for: printed at its end, with EMULATED_COUNTS.
struct Counts {
    struct Of { uint64_t times, amount; };
    std::map<std::string, Of> all;

    void add(const std::string &what, uint64_t amount)
    {
        Of &of = all[what];
        of.times++;
        of.amount += amount;
    }

    ~Counts()
    {
        if (!std::getenv("EMULATED_COUNTS")) return;
        for (const auto &[what, of] : all) {
            std::fprintf(stderr, "%-40s %8llu times %14llu\n", what.c_str(), (unsigned long long)of.times,
                         (unsigned long long)of.amount);
        }
    }
} counts;

void fail(const char *what)
{
    std::fprintf(stderr, "emulator: %s\n", what);
    std::abort();
}

bool is_unwritten(const char *bytes)
{
    for (size_t i = 0; i < GUARD; i++) {
        if ((unsigned char)bytes[i] != NOT_WRITTEN) return false;
    }
    return true;
}

// The allocation that has all of these bytes; a copy that goes beside it ends the program.
void check(uint64_t address, size_t bytes)
{
    char *at = (char *)address;
    auto next = allocations.upper_bound(at);
    if (next == allocations.begin()) fail("a copy from or to memory that is not allocated");
    --next;
    if (at + bytes > next->first + next->second) fail("a copy goes beyond the memory that is allocated");
}

}

extern "C" {

int cuInit(unsigned) { return SUCCESS; }
int cuDeviceGetCount(int *count) { return *count = 1, SUCCESS; }
int cuDeviceGet(int *device, int ordinal) { return *device = ordinal, ordinal == 0 ? SUCCESS : INVALID_VALUE; }
int cuDevicePrimaryCtxRetain(void **primary, int) { return *primary = &lock, SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
int cuCtxSetCurrent(void *current) { return context = current, SUCCESS; }
int cuCtxGetCurrent(void **current) { return *current = context, SUCCESS; }
int cuCtxDestroy_v2(void *) { return SUCCESS; }
int cuCtxSynchronize() { return context ? SUCCESS : INVALID_CONTEXT; }
int cuStreamCreate(void **stream, unsigned) { return *stream = &lock, context ? SUCCESS : INVALID_CONTEXT; }
int cuStreamIsCapturing(void *, int *status) { return *status = 0, SUCCESS; }
int cuStreamSynchronize(void *) { return context ? SUCCESS : INVALID_CONTEXT; }
int cuStreamWaitEvent(void *, void *, unsigned) { return context ? SUCCESS : INVALID_CONTEXT; }
int cuStreamDestroy_v2(void *) { return SUCCESS; }
int cuEventCreate(void **event, unsigned) { return *event = &lock, context ? SUCCESS : INVALID_CONTEXT; }
int cuEventRecord(void *, void *) { return context ? SUCCESS : INVALID_CONTEXT; }
int cuEventSynchronize(void *) { return SUCCESS; }
int cuEventElapsedTime_v2(float *time, void *, void *) { return *time = 1.0f, SUCCESS; }
int cuEventElapsedTime(float *time, void *, void *) { return *time = 1.0f, SUCCESS; }
int cuEventDestroy_v2(void *) { return SUCCESS; }

int cuDeviceGetName(char *name, int length, int)
{
    std::snprintf(name, length, "emulated by the processors");
    return SUCCESS;
}

int cuDeviceGetAttribute(int *value, int attribute, int)
{
    switch (attribute) {
    case MAJOR: *value = 9; return SUCCESS;
    case MINOR: *value = 0; return SUCCESS;
    case SHARED_OPTIN: *value = MOST_SHARED; return SUCCESS;
    case MEMORY_POOLS: *value = 1; return SUCCESS;
    }
    return INVALID_VALUE;
}

int cuMemGetInfo_v2(size_t *free, size_t *total)
{
    if (!context) return INVALID_CONTEXT;
    std::lock_guard<std::recursive_mutex> guard(lock);
    *total = memory();
    *free = *total - used;
    return SUCCESS;
}

int cuMemAlloc_v2(uint64_t *address, size_t bytes)
{
    if (!context) return INVALID_CONTEXT;
    std::lock_guard<std::recursive_mutex> guard(lock);
    if (bytes == 0) return INVALID_VALUE;
    if (bytes > memory() - used) return OUT_OF_MEMORY;
    char *all = (char *)std::aligned_alloc(GUARD, (bytes + 3 * GUARD - 1) / GUARD * GUARD);
    std::memset(all, NOT_WRITTEN, bytes + 2 * GUARD);
    allocations[all + GUARD] = bytes;
    used += bytes;
    *address = (uint64_t)(all + GUARD);
    return SUCCESS;
}

int cuMemFree_v2(uint64_t address)
{
    if (!context) return INVALID_CONTEXT;
    std::lock_guard<std::recursive_mutex> guard(lock);
    auto allocation = allocations.find((char *)address);
    if (allocation == allocations.end()) return INVALID_VALUE;
    if (!is_unwritten(allocation->first - GUARD) || !is_unwritten(allocation->first + allocation->second)) {
        fail("a kernel wrote beside the memory that is allocated");
    }
    used -= allocation->second;
    std::free(allocation->first - GUARD);
    allocations.erase(allocation);
    return SUCCESS;
}

int cuMemAllocAsync(uint64_t *address, size_t bytes, void *) { return cuMemAlloc_v2(address, bytes); }
int cuMemFreeAsync(uint64_t address, void *) { return cuMemFree_v2(address); }

int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *)
{
    if (!context) return INVALID_CONTEXT;
    std::lock_guard<std::recursive_mutex> guard(lock);
    check(to, bytes);
    counts.add("copy to the GPU (bytes)", bytes);
    std::memcpy((void *)to, from, bytes);
    return SUCCESS;
}

int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *)
{
    if (!context) return INVALID_CONTEXT;
    std::lock_guard<std::recursive_mutex> guard(lock);
    check(from, bytes);
    counts.add("copy from the GPU (bytes)", bytes);
    std::memcpy(to, (const void *)from, bytes);
    return SUCCESS;
}

int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void *)
{
    if (!context) return INVALID_CONTEXT;
    std::lock_guard<std::recursive_mutex> guard(lock);
    check(to, bytes);
    check(from, bytes);
    std::memcpy((void *)to, (const void *)from, bytes);
    return SUCCESS;
}

int cuMemcpyPeerAsync(uint64_t, void *, uint64_t, void *, size_t, void *) { return INVALID_VALUE; }

int cuMemsetD8Async(uint64_t address, unsigned char value, size_t bytes, void *)
{
    if (!context) return INVALID_CONTEXT;
    std::lock_guard<std::recursive_mutex> guard(lock);
    check(address, bytes);
    std::memset((void *)address, value, bytes);
    return SUCCESS;
}

int cuModuleLoadData(void **module, const void *image)
{
    if (!context) return INVALID_CONTEXT;
    *module = dlopen((const char *)image, RTLD_NOW | RTLD_LOCAL);
    if (!*module) std::fprintf(stderr, "emulator: %s\n", dlerror());
    return *module ? SUCCESS : INVALID_IMAGE;
}

int cuModuleLoad(void **, const char *) { return NOT_FOUND; }
int cuModuleUnload(void *) { return SUCCESS; }

int cuModuleGetFunction(void **function, void *module, const char *name)
{
    if (!context) return INVALID_CONTEXT;
    void *symbol = dlsym(module, ("run_" + std::string(name)).c_str());
    if (!symbol) return NOT_FOUND;
    *function = new Function{name, (void (*)(const void *, void **))symbol, SHARED};
    return SUCCESS;
}

int cuFuncSetAttribute(Function *function, int attribute, int value)
{
    if (!context) return INVALID_CONTEXT;
    if (attribute != DYNAMIC_SHARED || value < 0 || (unsigned)value > MOST_SHARED) return INVALID_VALUE;
    function->shared = value;
    return SUCCESS;
}

int cuLaunchKernel(Function *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                   unsigned block_y, unsigned block_z, unsigned shared, void *, void **arguments, void **)
{
    if (!context) return INVALID_CONTEXT;
    std::lock_guard<std::recursive_mutex> guard(lock);
    const unsigned sizes[] = {grid_x, grid_y, grid_z, block_x, block_y, block_z};
    for (unsigned size : sizes) {
        if (size == 0) return INVALID_VALUE;
    }
    if (grid_x > 0x7FFFFFFF || grid_y > 65535 || grid_z != 1 || block_z != 1) return INVALID_VALUE;
    if (block_x * block_y > 1024 || shared > function->shared) return INVALID_VALUE;
    counts.add(function->name + " (threads)", uint64_t(grid_x) * grid_y * block_x * block_y);
    function->run(sizes, arguments);
    return SUCCESS;
}

int cuGetErrorName(int error, const char **name)
{
    *name = error == INVALID_CONTEXT ? "CUDA_ERROR_INVALID_CONTEXT" : error == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_OF_THE_EMULATOR";
    return SUCCESS;
}

int cuGetErrorString(int error, const char **text)
{
    *text = error == OUT_OF_MEMORY ? "out of memory" : "see the emulator";
    return SUCCESS;
}

}
