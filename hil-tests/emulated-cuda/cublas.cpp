// The part of cuBLAS that candle comes to, on the processors.

#include <cstddef>
#include <vector>

namespace {

// C = alpha A B + beta C, column by column, for each of the matrices; A and B may be transposed.
template <class T>
int multiply(int transpose_a, int transpose_b, int m, int n, int k, T alpha, const T *a, int lda, long long stride_a,
             const T *b, int ldb, long long stride_b, T beta, T *c, int ldc, long long stride_c, int count)
{
    std::vector<T> column(m);
    for (; count > 0; count--, a += stride_a, b += stride_b, c += stride_c) {
        for (size_t j = 0; j < size_t(n); j++) {
            column.assign(m, 0);
            for (size_t l = 0; l < size_t(k); l++) {
                const T value = transpose_b ? b[j + l * ldb] : b[l + j * ldb];
                for (size_t i = 0; i < size_t(m); i++) {
                    column[i] += value * (transpose_a ? a[l + i * lda] : a[i + l * lda]);
                }
            }
            for (size_t i = 0; i < size_t(m); i++) {
                T &place = c[i + j * ldc];
                place = alpha * column[i] + (beta != 0 ? beta * place : 0);
            }
        }
    }
    return 0;
}

}

extern "C" {

int cublasCreate_v2(void **handle)
{
    static int it;
    *handle = &it;
    return 0;
}

int cublasDestroy_v2(void *) { return 0; }
int cublasSetStream_v2(void *, void *) { return 0; }

int cublasGemmStridedBatchedEx(void *, int transpose_a, int transpose_b, int m, int n, int k, const void *alpha,
                               const void *a, int, int lda, long long stride_a, const void *b, int, int ldb,
                               long long stride_b, const void *beta, void *c, int, int ldc, long long stride_c, int count,
                               int, int)
{
    return multiply<float>(transpose_a, transpose_b, m, n, k, *(const float *)alpha, (const float *)a, lda, stride_a,
                           (const float *)b, ldb, stride_b, *(const float *)beta, (float *)c, ldc, stride_c, count);
}

int cublasDgemmStridedBatched(void *, int transpose_a, int transpose_b, int m, int n, int k, const double *alpha,
                              const double *a, int lda, long long stride_a, const double *b, int ldb, long long stride_b,
                              const double *beta, double *c, int ldc, long long stride_c, int count)
{
    return multiply(transpose_a, transpose_b, m, n, k, *alpha, a, lda, stride_a, b, ldb, stride_b, *beta, c, ldc, stride_c,
                    count);
}

}
