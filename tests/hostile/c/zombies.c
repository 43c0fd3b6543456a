/* Children that end and are never waited for. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(void) {
  int count = 0;
  for (;;) {
    int child = fork();
    if (child == 0) _exit(0);
    if (child < 0) break;
    count++;
  }
  printf("%d zombies: %s\n", count, strerrorname_np(errno));
}
