// What all kernels share. The host puts in front of it
//     #define N        number of rows, one for each device
// and what single files name. Every program is compiled for its number of rows, without contraction of products and
// sums (--fmad=false), so that what is rounded on the CPU is rounded here. Columns are counted in 64 bits.

typedef unsigned long long Index;

// Rows up to which a column is kept in the registers of one thread.
#define IN_REGISTERS 128

#if N <= IN_REGISTERS
// Where each row starts, as a parameter of the kernel: reading it costs no memory access.
struct Rows { const float *row[N]; };
#else
struct Rows { const float *const *row; };
#endif
