// Products of all pairs of rows, and squared distances of close pairs: see robust::Distances. Sums are taken in
// the order of the CPU: in each of LANES lanes, every sixteenth column; lanes, then panels of columns, are added up in
// double precision.

#define LANES 16
// Columns of a panel: within it, sums are in single precision.
#define PANEL 1024

// Rows and columns of products that a block of threads computes; each thread has, in one lane, SIDE x SIDE of them.
#define TILE 32
#define SIDE 8
#define GROUPS (TILE / SIDE)
#define THREADS (GROUPS * GROUPS * LANES)
// Columns that a block has in shared memory at a time.
#define STEP 128

// The sum of the lanes.
__device__ inline double total(const float *lanes)
{
    double sums[LANES / 2];
    _Pragma("unroll") for (int lane = 0; lane < LANES / 2; lane++)
    {
        sums[lane] = (double)lanes[lane] + (double)lanes[lane + LANES / 2];
    }
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

// For the panel blockIdx.y of the columns from `first` on and each pair i <= j of rows, both taken from `origin`, their
// product, at [panel][i][j] of `products`. blockIdx.x counts the tiles with such pairs, row of tiles by row of tiles.
extern "C" __global__ void __launch_bounds__(THREADS)
    multiply(const Rows rows, const Index columns, const Index first, const unsigned origin, double *const products)
{
    // Rows are so long that two neighbours are in different banks of memory.
    __shared__ float left[TILE][STEP + LANES], right[TILE][STEP + LANES];
    __shared__ float lanes[GROUPS * GROUPS][SIDE][LANES + 1];
    int first_row = 0, tile = blockIdx.x;
    const int tiles = (N + TILE - 1) / TILE;
    for (int in_row = tiles; tile >= in_row; in_row--) {
        tile -= in_row;
        first_row++;
    }
    const int first_column = (first_row + tile) * TILE;
    first_row *= TILE;

    const int thread = threadIdx.x, lane = thread % LANES, group = thread / LANES;
    const int row = group / GROUPS, column = group % GROUPS;
    const float *const o = rows.row[origin];
    const Index start = first + (Index)blockIdx.y * PANEL;
    const Index end = start + PANEL < columns ? start + PANEL : columns;

    float sums[SIDE][SIDE];
    _Pragma("unroll") for (int i = 0; i < SIDE; i++)
    {
        _Pragma("unroll") for (int k = 0; k < SIDE; k++) sums[i][k] = 0.0f;
    }
    for (Index from = start; from < end; from += STEP) {
        for (int place = thread; place < TILE * STEP; place += THREADS) {
            const int i = place / STEP, k = place % STEP;
            const Index at = from + k;
            left[i][k] = at < end && first_row + i < N ? rows.row[first_row + i][at] - o[at] : 0.0f;
            right[i][k] = at < end && first_column + i < N ? rows.row[first_column + i][at] - o[at] : 0.0f;
        }
        __syncthreads();
        // A last vector that is not full is filled up with zeros, which change nothing.
        for (int k = lane; k < STEP; k += LANES) {
            float a[SIDE], b[SIDE];
            _Pragma("unroll") for (int i = 0; i < SIDE; i++)
            {
                a[i] = left[row + i * GROUPS][k];
                b[i] = right[column + i * GROUPS][k];
            }
            _Pragma("unroll") for (int i = 0; i < SIDE; i++)
            {
                _Pragma("unroll") for (int l = 0; l < SIDE; l++) sums[i][l] = __fmaf_rn(a[i], b[l], sums[i][l]);
            }
        }
        __syncthreads();
    }
    // A row of each group's products at a time, lanes side by side, for one thread each to add up.
    _Pragma("unroll") for (int i = 0; i < SIDE; i++)
    {
        _Pragma("unroll") for (int l = 0; l < SIDE; l++) lanes[group][l][lane] = sums[i][l];
        __syncthreads();
        if (thread < GROUPS * GROUPS * SIDE) {
            const int g = thread / SIDE, l = thread % SIDE;
            const int at_row = first_row + g / GROUPS + i * GROUPS, at_column = first_column + g % GROUPS + l * GROUPS;
            if (at_row <= at_column && at_column < N) {
                products[((Index)blockIdx.y * N + at_row) * N + at_column] = total(lanes[g][l]);
            }
        }
        __syncthreads();
    }
}

// Adds the products of `panels` panels to `sums`, N x N, panel by panel.
extern "C" __global__ void add_panels(const double *const products, const unsigned panels, double *const sums)
{
    const int pair = blockIdx.x * blockDim.x + threadIdx.x;
    if (pair >= N * N || pair / N > pair % N) return;
    double sum = sums[pair];
    _Pragma("unroll 8") for (unsigned panel = 0; panel < panels; panel++) sum += products[(Index)panel * N * N + pair];
    sums[pair] = sum;
}

// Columns after which sums in single precision are added to those in double precision.
#define SPAN (16 * LANES)
#define SPANS 16

// Adds to the LANES sums of each pair of rows, two numbers of `pairs`, the squares of their differences. A block of
// threads takes a pair, and SPANS spans of its columns at a time.
extern "C" __global__ void __launch_bounds__(SPANS * LANES)
    add_squares(const Rows rows, const Index columns, const unsigned *const pairs, double *const sums)
{
    __shared__ float spans[SPANS][LANES];
    const Index pair = blockIdx.x;
    const float *const a = rows.row[pairs[2 * pair]], *const b = rows.row[pairs[2 * pair + 1]];
    const int lane = threadIdx.x % LANES, span = threadIdx.x / LANES;
    double sum = span == 0 ? sums[pair * LANES + lane] : 0.0;
    for (Index from = 0; from < columns; from += SPANS * SPAN) {
        float squares = 0.0f;
        _Pragma("unroll") for (int k = 0; k < SPAN; k += LANES)
        {
            const Index at = from + span * SPAN + k + lane;
            const float difference = at < columns ? a[at] - b[at] : 0.0f;
            squares += difference * difference;
        }
        spans[span][lane] = squares;
        __syncthreads();
        if (span == 0) {
            _Pragma("unroll") for (int k = 0; k < SPANS; k++) sum += (double)spans[k][lane];
        }
        __syncthreads();
    }
    if (span == 0) sums[pair * LANES + lane] = sum;
}
