/* Leaves daemons behind: orphans with sessions of their own that ignore every signal, and ends. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(void) {
  int ready[2];
  if (pipe(ready)) return 1;
  for (int number = 0; number < 4; number++) {
    if (fork() == 0) {
      setsid();
      if (fork() == 0) {
        setsid();
        prctl(PR_SET_NAME, "[kworker/0:0]");
        for (int signal_ = 1; signal_ < 65; signal_++) signal(signal_, SIG_IGN);
        (void)!write(ready[1], "x", 1);
        for (int file = 0; file < 64; file++) close(file);
        for (;;) pause();
      }
      _exit(0);
    }
  }
  char byte;
  for (int number = 0; number < 4; number++) (void)!read(ready[0], &byte, 1);
  puts("left four");
}
