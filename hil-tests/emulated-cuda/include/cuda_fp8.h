#pragma once
struct __nv_fp8_e4m3
{
    unsigned char __x;
    __nv_fp8_e4m3() = default;
    template <class T> explicit __nv_fp8_e4m3(T) : __x(0) {}
};
enum { __NV_E4M3, __NV_E5M2 };
inline __half __nv_cvt_fp8_to_halfraw(unsigned char, int) { return {}; }
