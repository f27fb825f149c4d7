// What the text of candle's kernels needs beside shim.h to be C++ for the processors.
#pragma once

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#ifdef MARK_KERNELS
#undef __global__
#define __global__ this_is_a_kernel
#endif
#define __forceinline__ inline
#define __host__

using std::isinf;
using std::isnan;
using std::signbit;

struct float2 { float x, y; };
struct float4 { float x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }

inline float __uint_as_float(unsigned bits) { return shim::bits_as<float>(bits); }
inline unsigned __float_as_uint(float number) { return shim::bits_as<unsigned>(number); }
inline float __int_as_float(int bits) { return shim::bits_as<float>(bits); }
inline int __float_as_int(float number) { return shim::bits_as<int>(number); }
inline float normcdff(float a) { return 0.5f * erfcf(-a * 0.70710678f); }
inline double normcdf(double a) { return 0.5 * erfc(-a * 0.7071067811865476); }
inline float rsqrtf(float a) { return 1 / sqrtf(a); }
inline double rsqrt(double a) { return 1 / sqrt(a); }

template <class A, class B> inline std::common_type_t<A, B> min(A a, B b) { return a < b ? a : b; }
template <class A, class B> inline std::common_type_t<A, B> max(A a, B b) { return a > b ? a : b; }

// One thread runs at a time, so all that it does is atomic.
template <class T, class V> inline T shim_exchange(T *place, V value)
{
    const T old = *place;
    *place = value;
    return old;
}
template <class T, class V> inline T atomicAdd(T *place, V value) { return shim_exchange(place, *place + value); }
template <class T, class V> inline T atomicMin(T *place, V value) { return shim_exchange(place, min(*place, T(value))); }
template <class T, class V> inline T atomicMax(T *place, V value) { return shim_exchange(place, max(*place, T(value))); }
template <class T, class C, class V> inline T atomicCAS(T *place, C expected, V value)
{
    return shim_exchange(place, *place == T(expected) ? T(value) : *place);
}

// All threads of a block come to it, as to a barrier.
template <class T> inline T __shfl_xor_sync(unsigned, T value, int lane, int = 32)
{
    static T values[1024];
    values[threadIdx.x] = value;
    shim::barrier();
    const unsigned from = threadIdx.x ^ lane;
    const T other = from < blockDim.x ? values[from] : T();
    shim::barrier();
    return other;
}
