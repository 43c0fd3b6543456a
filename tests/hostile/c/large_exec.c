/* Executes itself with more than the kernel takes: one argument of 128 KiB, 100,000 variables, an endless list. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void attempt(const char *what, char **arguments, char **variables) {
  execve("/proc/self/exe", arguments, variables);
  printf("%s: %s\n", what, strerrorname_np(errno));
}

int main(int count, char **words) {
  setbuf(stdout, 0);
  if (count < 1 || strcmp(words[count - 1], "go")) return puts("executed") < 0;
  static char large[128 * 1024 + 1], small[] = "NAME=value";
  memset(large, 'x', sizeof large - 1);
  attempt("128 KiB in one argument", (char *[]){"x", large, 0}, (char *[]){0});
  attempt("128 KiB in one variable", (char *[]){"x", 0}, (char *[]){large, 0});
  static char *many[2000001];
  for (int number = 0; number < 2000000; number++) many[number] = small;
  attempt("2,000,000 variables", (char *[]){"x", 0}, many);
  attempt("2,000,000 arguments", many, (char *[]){0});
  attempt("no argument at all", (char *[]){0}, (char *[]){0});
}
