// A sorted column, for what is computed from its order. In front of it stand N and
//     #define NETWORK(EXCHANGE)  pairs of places to put in order, as EXCHANGE(low, high)      up to 128 rows
//     #define TOP                the largest power of two below N                             above
//     #define COLUMNS            columns that a block of threads sorts                        above
//
// SORTED_COLUMN declares `j`, the column of this thread, `inside`, whether there is such a column, and AT(place), its
// sorted values. Of the threads that share a column the one for which IS_FIRST holds has results to write, and
// FOR_EACH_ROW deals the rows out to all of them.

__device__ inline void exchange(float &low, float &high)
{
    // Which of two zeros is the lesser does not matter: what is computed are sums from +0 on.
    const float a = low, b = high;
    low = fminf(a, b);
    high = fmaxf(a, b);
}

#if N <= IN_REGISTERS

// One thread sorts a column in its registers, with a sorting network: each place is a constant.
#define AT(place) column[place]
#define EXCHANGE(low, high) exchange(AT(low), AT(high));
#define EACH_PLACE _Pragma("unroll")
#define IS_FIRST true
#define FOR_EACH_ROW(i) _Pragma("unroll 8") for (int i = 0; i < N; i++)

#define SORTED_COLUMN(rows, columns)                                                                                   \
    const Index j = (Index)blockIdx.x * blockDim.x + threadIdx.x;                                                      \
    const bool inside = j < columns;                                                                                   \
    float column[N];                                                                                                   \
    EACH_PLACE for (int i = 0; i < N; i++) column[i] = inside ? rows.row[i][j] : 0.0f;                                 \
    NETWORK(EXCHANGE)

#else

// A block of threads sorts COLUMNS columns in shared memory: x is the column, and y the pair of places to put in order.
// This is Batcher's merge exchange, stage by stage; the pairs of one stage have no place in common.
#define AT(place) sorted[(place) * COLUMNS + threadIdx.x]
#define EACH_PLACE
#define IS_FIRST (threadIdx.y == 0)
#define FOR_EACH_ROW(i) for (int i = threadIdx.y; i < N; i += blockDim.y)

extern __shared__ float sorted[];

__device__ inline void sort()
{
    for (int p = TOP; p > 0; p /= 2) {
        for (int q = TOP, r = 0, d = p;;) {
            for (int k = threadIdx.y;; k += blockDim.y) {
                // The k-th place whose bit p is that of r.
                const int low = ((k & -p) << 1 | (k & (p - 1))) + r;
                if (low >= N - d) break;
                exchange(AT(low), AT(low + d));
            }
            __syncthreads();
            if (q == p) break;
            d = q - p;
            r = p;
            q /= 2;
        }
    }
}

#define SORTED_COLUMN(rows, columns)                                                                                   \
    const Index j = (Index)blockIdx.x * COLUMNS + threadIdx.x;                                                         \
    const bool inside = j < columns;                                                                                   \
    FOR_EACH_ROW(i) AT(i) = inside ? rows.row[i][j] : 0.0f;                                                            \
    __syncthreads();                                                                                                   \
    sort();

#endif

// Mean of two values; of two zeros it is +0.
__device__ inline float midpoint(float a, float b)
{
    return (float)((0.0 + (double)a + (double)b) / 2.0);
}
