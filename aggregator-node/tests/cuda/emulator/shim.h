// What turns a kernel in CUDA C++ into C++ for the processors: it is included before the kernel's text.
//
// The threads of a block take turns: each runs up to the next barrier, in ascending order or, with EMULATED_REVERSED,
// in descending order, so that what a barrier is missing for differs between the two.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ucontext.h>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(threads)
#define __double_as_longlong(number) shim::bits_as<long long, double>(number)
#define __longlong_as_double(bits) shim::bits_as<double, long long>(bits)
#define __fmaf_rn(a, b, c) std::fma((float)(a), (float)(b), (float)(c))

struct Dimensions { unsigned x, y, z; };
static Dimensions threadIdx, blockIdx, blockDim, gridDim;

namespace shim {

template <class To, class From> To bits_as(From from)
{
    To to;
    static_assert(sizeof to == sizeof from);
    std::memcpy(&to, &from, sizeof to);
    return to;
}

struct Launch { Dimensions grid, block; };

struct Fiber {
    ucontext_t context;
    std::vector<char> stack;
    bool started = false, finished = false;
};

static ucontext_t scheduler;
static Fiber *current = nullptr;
static bool yielded = false;
static void (*body)(void *), *body_argument;

static void enter()
{
    body(body_argument);
    current->finished = true;
    swapcontext(&current->context, &scheduler);
}

static void resume(Fiber &fiber)
{
    if (!fiber.started) {
        fiber.stack.resize(128 << 10);
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.data();
        fiber.context.uc_stack.ss_size = fiber.stack.size();
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, enter, 0);
        fiber.started = true;
    }
    current = &fiber;
    swapcontext(&scheduler, &fiber.context);
    current = nullptr;
}

static void barrier()
{
    if (!current) {
        std::fprintf(stderr, "emulator: a thread waits at a barrier that the first thread did not come to\n");
        std::abort();
    }
    yielded = true;
    swapcontext(&current->context, &scheduler);
}

// Threads of a block in the order in which they take turns.
static std::vector<Dimensions> threads()
{
    std::vector<Dimensions> all;
    for (unsigned y = 0; y < blockDim.y; y++) {
        for (unsigned x = 0; x < blockDim.x; x++) all.push_back({x, y, 0});
    }
    if (std::getenv("EMULATED_REVERSED")) all = {all.rbegin(), all.rend()};
    return all;
}

static void run_block(std::vector<Fiber> &fibers, const std::vector<Dimensions> &threads)
{
    yielded = false;
    for (Fiber &fiber : fibers) fiber.started = fiber.finished = false;
    for (bool first = true, waiting = true; waiting; first = false) {
        waiting = false;
        for (size_t i = 0; i < threads.size(); i++) {
            if (fibers[i].finished) continue;
            threadIdx = threads[i];
            if (first && i > 0 && !yielded) {
                // There are no barriers: a plain call does.
                body(body_argument);
                fibers[i].finished = true;
                continue;
            }
            resume(fibers[i]);
            waiting |= !fibers[i].finished;
        }
    }
}

template <class... A, size_t... I>
void run(void (*kernel)(A...), const Launch &launch, void **arguments, std::index_sequence<I...>)
{
    gridDim = launch.grid;
    blockDim = launch.block;
    auto call = [&] { kernel(*static_cast<std::remove_const_t<A> *>(arguments[I])...); };
    body = [](void *argument) { (*static_cast<decltype(call) *>(argument))(); };
    body_argument = &call;
    const std::vector<Dimensions> order = threads();
    static std::vector<Fiber> fibers;
    if (fibers.size() < order.size()) fibers.resize(order.size());
    for (unsigned y = 0; y < gridDim.y; y++) {
        for (unsigned x = 0; x < gridDim.x; x++) {
            blockIdx = {x, y, 0};
            run_block(fibers, order);
        }
    }
}

template <class... A> void run(void (*kernel)(A...), const Launch &launch, void **arguments)
{
    run(kernel, launch, arguments, std::index_sequence_for<A...>());
}

}

#define __syncthreads() shim::barrier()
