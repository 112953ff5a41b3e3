/*
 * Closes standard error, or every descriptor, and opens the named file at each number that became
 * free. Arguments: "standard-error" or "all", the file.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    free(malloc(100));
    int last = strcmp(argv[1], "all") == 0 ? 1023 : STDERR_FILENO;
    for (int descriptor = STDERR_FILENO; descriptor <= last; descriptor++)
        close(descriptor);
    for (int descriptor = STDERR_FILENO; descriptor <= last; descriptor++)
        if (open(argv[2], O_RDWR | O_CREAT, 0600) < 0)
            break;
    return 0;
}
