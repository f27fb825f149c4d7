// The part of cuRAND that candle comes to when it opens a GPU: nothing is drawn from it.

extern "C" {

int curandCreateGenerator(void **generator, int)
{
    static int it;
    *generator = &it;
    return 0;
}

int curandDestroyGenerator(void *) { return 0; }
int curandSetGeneratorOffset(void *, unsigned long long) { return 0; }
int curandSetPseudoRandomGeneratorSeed(void *, unsigned long long) { return 0; }
int curandSetStream(void *, void *) { return 0; }

}
