/* Uses processor time without end: alone, in many threads, in children that are nice, in a child of its own session. */
#define _GNU_SOURCE
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void *spin(void *nothing) {
  for (volatile long number = 0;; number++) {}
  return nothing;
}

int main(int count, char **words) {
  const char *kind = count > 1 ? words[1] : "";
  for (int number = 0; number < 8; number++) {
    pthread_t thread;
    if (!strcmp(kind, "threads")) pthread_create(&thread, 0, spin, 0);
    if (!strcmp(kind, "nice") && fork() == 0) {
      setpriority(PRIO_PROCESS, 0, 19);
      setsid();
      spin(0);
    }
  }
  if (strcmp(kind, "nice")) spin(0);
  for (;;) pause();
}
