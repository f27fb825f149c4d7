// The coordinate-wise median: see robust::Median.

#ifndef WITHOUT_EACH

extern "C" __global__ void aggregate(const Rows rows, const Index columns, float *const results, const Index stride)
{
    SORTED_COLUMN(rows, columns)
    if (inside && IS_FIRST) results[j] = midpoint(AT((N - 1) / 2), AT(N / 2));
}

#else

// For each row the median of the others: without a value, the middle is the next place or the one before.
extern "C" __global__ void aggregate(const Rows rows, const Index columns, float *const results, const Index stride)
{
    SORTED_COLUMN(rows, columns)
    if (!inside) return;
    const float low = AT(N / 2 - 1), middle = AT(N / 2);
#if N % 2 == 0
    const float without_smaller = midpoint(middle, middle);
    const float without_greater = midpoint(low, low), without_middle = without_greater;
#else
    const float high = AT(N / 2 + 1);
    const float without_smaller = midpoint(middle, high);
    const float without_greater = midpoint(low, middle);
    const float without_middle = midpoint(low, high);
#endif
    FOR_EACH_ROW(i)
    {
        const float value = rows.row[i][j];
        results[i * stride + j] = value < middle ? without_smaller : value > middle ? without_greater : without_middle;
    }
}

#endif
