// Bulyan's second stage: see robust::Bulyan. The rows are those selected; in front of it stands
//     #define COUNT  values averaged

// The places that may be left behind or not. Of those before, the next COUNT values end at the median at the latest; from
// the lower of the middle ones on, what would come in is as far at least.
#define FIRST ((N - 1) / 2 + 1 > COUNT ? (N - 1) / 2 + 1 - COUNT : 0)
#define END ((N - 1) / 2 < N - COUNT ? (N - 1) / 2 : N - COUNT)

extern "C" __global__ void aggregate(const Rows rows, const Index columns, float *const results, const Index stride)
{
    SORTED_COLUMN(rows, columns)
    if (!inside || !IS_FIRST) return;
    const float lower = AT((N - 1) / 2), upper = AT(N / 2);
    const float twice = lower + upper;
    // What is nearest lies side by side, from a first place on. While what would be left behind is farther than what
    // would come in, it is a place on; the former falls from place to place and the latter rises. Which is farther, the
    // sum of both tells beside twice the median; where sums in 32 bits are equal, those in 64 do.
    unsigned first = FIRST;
    EACH_PLACE for (int place = FIRST; place < END; place++)
    {
        const float behind = AT(place), ahead = AT(place + COUNT), sum = behind + ahead;
        first += sum < twice
            || (sum == twice && (double)behind + (double)ahead < (double)lower + (double)upper);
    }
    // Of each pair of places COUNT apart one counts, and between the pairs all do: the order of the processors.
    double sum = 0.0;
    EACH_PLACE for (unsigned place = FIRST; place < END; place++)
    {
        sum += (double)(place < first ? AT(place + COUNT) : AT(place));
    }
    EACH_PLACE for (unsigned place = END; place < FIRST + COUNT; place++)
    {
        sum += (double)AT(place);
    }
    results[j] = (float)(sum * (1.0 / COUNT));
}
