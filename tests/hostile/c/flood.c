/* Prints without end: on one stream or both, in lines or without any, from a grandchild whose parents are gone. */
#define _GNU_SOURCE
#include <string.h>
#include <unistd.h>

static void print(int stream, int byte) {
  char block[65536];
  memset(block, 'x', sizeof block);
  if (byte) block[79] = block[sizeof block - 1] = (char)byte;
  for (;;) (void)!write(stream, block, sizeof block);
}

int main(int count, char **words) {
  const char *kind = count > 1 ? words[1] : "";
  if (!strcmp(kind, "stdout")) print(1, '\n');
  if (!strcmp(kind, "stderr")) print(2, '\n');
  if (!strcmp(kind, "one line")) print(1, 0);
  if (!strcmp(kind, "both")) print(1 + (fork() == 0), '\n');
  if (!strcmp(kind, "grandchild") && fork() == 0) {
    setsid();
    if (fork() == 0) print(1, '\n');
    _exit(0);
  }
  for (;;) pause();
}
