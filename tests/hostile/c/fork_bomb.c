/* Makes processes without end: fork, vfork, clone or threads. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *idle(void *nothing) {
  for (;;) pause();
  return nothing;
}

static void chain(void) { /* the parent stands still until its child ends */
  for (;;)
    if (vfork() == 0) chain();
}

int main(int count, char **words) {
  if (count < 2) return 2;
  signal(SIGCHLD, SIG_IGN);
  if (!strcmp(words[1], "vfork")) chain();
  for (;;) {
    pthread_t thread;
    if (!strcmp(words[1], "fork")) fork();
    if (!strcmp(words[1], "clone")) syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (!strcmp(words[1], "threads")) pthread_create(&thread, 0, idle, 0);
  }
}
