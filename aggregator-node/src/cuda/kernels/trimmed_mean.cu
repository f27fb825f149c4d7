// The coordinate-wise trimmed mean: see robust::TrimmedMean. In front of it stands
//     #define TRIM  values dropped at each end
//     #define ROOM  four times the number of rows, as a power of two, where so many are added up on a common grid

#define KEPT (N - 2 * TRIM)

#ifndef WITHOUT_EACH

// A number without its digits: the power of two that is not above it.
__device__ inline double power_of_two(double number)
{
    return __longlong_as_double(__double_as_longlong(number) & 0x7FF0000000000000);
}

extern "C" __global__ void aggregate(const Rows rows, const Index columns, float *const results, const Index stride)
{
    SORTED_COLUMN(rows, columns)
    if (!inside || !IS_FIRST) return;
    double sum = 0.0;
#ifdef ROOM
    // On multiples of a power of two that are so fine that nothing is lost, and so coarse that sums are exact.
    const double least = (double)AT(TRIM), greatest = (double)AT(N - TRIM - 1);
    const double one = power_of_two(fmax(fabs(least), fabs(greatest))) * ROOM;
    for (int place = TRIM; place < N - TRIM; place++) sum += ((double)AT(place) + one) - one;
    results[j] = (float)(least == greatest ? least + 0.0 : sum / KEPT);
#else
    EACH_PLACE for (int place = TRIM; place < N - TRIM; place++) sum += (double)AT(place);
    results[j] = (float)(sum / KEPT);
#endif
}

#else

// What is left of all that is kept without one row or another.
struct Left {
    float smallest, largest, without_smaller, without_greater;
    // Their sum, to twice the precision of a double.
    double high, low;
};

// The rounded sum of two numbers, and what rounding took away (Knuth's TwoSum).
__device__ inline double two_sum(double a, double b, double &error)
{
    const double sum = a + b;
    const double b_part = sum - a;
    error = (a - (sum - b_part)) + (b - b_part);
    return sum;
}

__device__ inline float mean_without(const Left &left, float value)
{
    double error;
    const double difference = two_sum(left.high, -(double)value, error);
    return (float)((difference + (left.low + error)) / (KEPT - 1));
}

// For each row the trimmed mean of the others: without a value, those that are kept are the same but for one.
extern "C" __global__ void aggregate(const Rows rows, const Index columns, float *const results, const Index stride)
{
    SORTED_COLUMN(rows, columns)
#if N <= IN_REGISTERS
    Left left;
#else
    __shared__ Left all[COLUMNS];
    Left &left = all[threadIdx.x];
#endif
    if (IS_FIRST) {
        double without_first = 0.0, without_last = 0.0, high = 0.0, low = 0.0;
        EACH_PLACE for (int place = TRIM; place < N - TRIM; place++)
        {
            const double value = (double)AT(place);
            if (place > TRIM) without_first += value;
            if (place < N - TRIM - 1) without_last += value;
            double error;
            high = two_sum(high, value, error);
            low += error;
        }
        left.smallest = AT(TRIM);
        left.largest = AT(N - TRIM - 1);
        left.without_smaller = (float)(without_first / (KEPT - 1));
        left.without_greater = (float)(without_last / (KEPT - 1));
        left.high = high;
        left.low = low;
    }
#if N > IN_REGISTERS
    __syncthreads();
#endif
    if (!inside) return;
    FOR_EACH_ROW(i)
    {
        const float value = rows.row[i][j];
        results[i * stride + j] = value < left.smallest ? left.without_smaller
            : value > left.largest                      ? left.without_greater
                                                        : mean_without(left, value);
    }
}

#endif
