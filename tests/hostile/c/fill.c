/* Fills what is writable: bytes, files, links, holes, depth, names, descriptors. Says where it ends. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static int end(const char *what) {
  printf("%s: %s\n", what, strerrorname_np(errno));
  return 0;
}

static int bytes(void) {
  static char block[65536];
  for (int number = 0;; number++) {
    char name[32];
    snprintf(name, sizeof name, "%d", number);
    int file = open(name, O_CREAT | O_WRONLY, 0600);
    if (file < 0) return end("open");
    for (int count = 0; count < 16; count++)
      if (write(file, block, sizeof block) < 0) return end("write");
    close(file);
  }
}

static int many(const char *kind) {
  int file = open("first", O_CREAT | O_WRONLY, 0600);
  if (file < 0) return end("open");
  for (int number = 0;; number++) {
    char name[32];
    snprintf(name, sizeof name, "%d", number);
    int made = !strcmp(kind, "links") ? link("first", name)
               : !strcmp(kind, "symlinks") ? symlink("first", name)
               : !strcmp(kind, "fifos") ? mkfifo(name, 0600) : mkdir(name, 0700);
    if (made) return end(kind);
  }
}

/* Deeper than any path that has a name: each step goes on from where the last one led. */
static int deep(void) {
  for (;;)
    if (mkdir("x", 0700) || chdir("x")) return end("deep");
}

/* A hole takes no space; how far a file may reach is limited all the same. */
static int holes(void) {
  signal(SIGXFSZ, SIG_IGN);
  int file = open("hole", O_CREAT | O_RDWR, 0600);
  if (ftruncate(file, 1l << 40) == 0) return puts("a file of 1 TiB");
  end("ftruncate");
  if (fallocate(file, 0, 0, 1l << 40) == 0) return puts("space of 1 TiB");
  end("fallocate");
  if (pwrite(file, "x", 1, 1l << 40) == 1) return puts("a byte at 1 TiB");
  return end("pwrite");
}

static int descriptors(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_max++;
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0) return puts("raised");
  while (open("/dev/null", O_RDONLY) >= 0) {}
  return end("descriptors");
}

int main(int count, char **words) {
  const char *kind = count > 1 ? words[1] : "";
  if (count > 2 && chdir(words[2])) return end("chdir");
  setbuf(stdout, 0);
  if (!strcmp(kind, "bytes")) return bytes();
  if (!strcmp(kind, "deep")) return deep();
  if (!strcmp(kind, "holes")) return holes() < 0;
  if (!strcmp(kind, "descriptors")) return descriptors() < 0;
  return many(kind);
}
