/* Takes memory without end, of the kind that it is told, and says so where the kernel refuses. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

enum { STEP = 4 << 20 };

static int give_up(const char *what) {
  printf("%s: %s\n", what, strerrorname_np(errno));
  return 0;
}

static int grow_file(int file) {
  static char block[STEP];
  memset(block, 1, sizeof block);
  for (;;)
    if (write(file, block, sizeof block) < 0) return give_up("write");
}

static int grow_map(int flags) {
  for (;;) {
    char *place = mmap(0, STEP, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) return give_up("mmap");
    memset(place, 1, STEP);
  }
}

static int grow_heap(void) {
  for (;;) {
    char *place = malloc(STEP);
    if (!place) return give_up("malloc");
    memset(place, 1, STEP);
  }
}

/* One page in each 2 MiB: what grows is mostly the tables of the kernel. */
static int grow_tables(void) {
  for (;;) {
    char *place = mmap(0, 1l << 30, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (place == MAP_FAILED) return give_up("mmap");
    for (long offset = 0; offset < 1l << 30; offset += 2 << 20) (void)*(volatile char *)(place + offset);
  }
}

static int grow_segments(void) {
  for (;;) {
    int segment = shmget(IPC_PRIVATE, STEP, 0600);
    char *place = segment < 0 ? (char *)-1 : shmat(segment, 0, 0);
    if (place == (char *)-1) return give_up("shmget");
    memset(place, 1, STEP);
  }
}

int main(int count, char **words) {
  const char *kind = count > 1 ? words[1] : "";
  setbuf(stdout, 0);
  if (!strcmp(kind, "malloc")) return grow_heap();
  if (!strcmp(kind, "mmap")) return grow_map(MAP_PRIVATE);
  if (!strcmp(kind, "locked")) return mlockall(MCL_FUTURE) ? give_up("mlockall") : grow_map(MAP_PRIVATE);
  if (!strcmp(kind, "shared")) return grow_map(MAP_SHARED);
  if (!strcmp(kind, "segments")) return grow_segments();
  if (!strcmp(kind, "tables")) return grow_tables();
  if (!strcmp(kind, "memfd")) return grow_file(memfd_create("x", 0));
  if (!strcmp(kind, "tmpfs")) return grow_file(open("/dev/shm/x", O_CREAT | O_WRONLY, 0600));
  return 2;
}
