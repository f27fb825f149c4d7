// The coordinate-wise mean: see robust::Mean. One thread takes a column, row by row.

#ifndef WITHOUT_EACH

extern "C" __global__ void aggregate(const Rows rows, const Index columns, float *const results, const Index stride,
                                     const double *const weights, const double *const total)
{
    const Index j = (Index)blockIdx.x * blockDim.x + threadIdx.x;
    if (j >= columns) return;
    double sum = 0.0;
    _Pragma("unroll 8") for (int i = 0; i < N; i++) sum += (double)rows.row[i][j] * weights[i];
    results[j] = (float)(sum / *total);
}

#else

// For each row the mean of the others. The sum without a row is that of the rows before it and of those after it: the
// former are kept in `before`, laid out as the results, until the latter are known. `shares` are one over the sums of
// the weights without each row.
extern "C" __global__ void aggregate(const Rows rows, const Index columns, float *const results, const Index stride,
                                     const double *const weights, const double *const shares, double *const before)
{
    const Index j = (Index)blockIdx.x * blockDim.x + threadIdx.x;
    if (j >= columns) return;
    double sum = 0.0;
    _Pragma("unroll 8") for (int i = 0; i < N; i++)
    {
        before[i * stride + j] = sum;
        sum += (double)rows.row[i][j] * weights[i];
    }
    double after = 0.0;
    _Pragma("unroll 8") for (int i = N - 1; i >= 0; i--)
    {
        results[i * stride + j] = (float)((before[i * stride + j] + after) * shares[i]);
        after += (double)rows.row[i][j] * weights[i];
    }
}

#endif
