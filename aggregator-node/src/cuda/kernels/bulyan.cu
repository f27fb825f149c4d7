// Bulyan's second stage: see shared::rules::Bulyan. The rows are those selected; in front of it stands
//     #define COUNT  values averaged

extern "C" __global__ void aggregate(const Rows rows, const Index columns, float *const results, const Index stride)
{
    SORTED_COLUMN(rows, columns)
    if (!inside || !IS_FIRST) return;
    const double median = ((double)AT((N - 1) / 2) + (double)AT(N / 2)) / 2.0;
    // What is nearest lies side by side, from a first place on. While what would be left behind is farther than what
    // would come in, it is a place on; the former falls from place to place and the latter rises.
    unsigned first = 0;
    EACH_PLACE for (int place = 0; place < N - COUNT; place++)
    {
        const double behind = median - (double)AT(place);
        const double ahead = (double)AT(place + COUNT) - median;
        first += behind > ahead;
    }
    double sum = 0.0;
    EACH_PLACE for (unsigned place = 0; place < N; place++)
    {
        sum += place - first < COUNT ? (double)AT(place) : 0.0;
    }
    results[j] = (float)(sum / COUNT);
}
