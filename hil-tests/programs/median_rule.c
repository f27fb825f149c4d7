/* A rule in plain C, without any library: the median of each coordinate.
 *
 *     cc -O2 -o median_rule median_rule.c
 *
 * It needs four things of each line: two numbers and the paths of two files, which hold no blanks, quotes or backslashes. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 1 << 22 };

static char line[LONGEST];

/* What follows `"key":` in the line. */
static char *value_of(const char *key) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    char *found = strstr(line, quoted);
    if (!found) {
        fprintf(stderr, "the line has no %s\n", key);
        exit(1);
    }
    return found + strlen(quoted);
}

/* The file whose path follows `"key":`, open. */
static FILE *file_of(const char *key, const char *mode) {
    char path[256];
    FILE *file = NULL;
    if (sscanf(value_of(key), "\"%255[^\"]\"", path) == 1) file = fopen(path, mode);
    if (!file) {
        fprintf(stderr, "cannot open the file of %s\n", key);
        exit(1);
    }
    return file;
}

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

int main(void) {
    while (fgets(line, sizeof line, stdin)) {
        size_t rows = strtoul(value_of("rows"), NULL, 10), columns = strtoul(value_of("columns"), NULL, 10);
        float *updates = malloc(rows * columns * sizeof *updates), *column = malloc(rows * sizeof *column);
        FILE *from = file_of("updates", "rb"), *to = file_of("answer", "wb");
        if (!updates || !column || fread(updates, sizeof *updates, rows * columns, from) != rows * columns) {
            puts("{\"error\":\"the updates cannot be read\"}");
        } else {
            for (size_t j = 0; j < columns; j++) {
                for (size_t i = 0; i < rows; i++) column[i] = updates[i * columns + j];
                qsort(column, rows, sizeof *column, ascending);
                float median = (column[(rows - 1) / 2] + column[rows / 2]) / 2;
                fwrite(&median, sizeof median, 1, to);
            }
            puts("{\"ok\":true}");
        }
        fclose(to);
        fclose(from);
        free(updates);
        free(column);
        fflush(stdout);
    }
    return 0;
}
