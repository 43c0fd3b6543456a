/* Sends every signal to everything that it can name: to all, to init, to every small number, to one that it is told. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **words) {
  int reached = 0, own = getpid();
  for (int number = 1; number < 65; number++) {
    if (number == SIGKILL || number == SIGSTOP || number == 32 || number == 33) continue;
    signal(number, SIG_IGN);
  }
  for (int number = 1; number < 65; number++) {
    kill(-1, number);
    kill(1, number);
    for (int process = 2; process < 5000; process++)
      if (process != own && kill(process, number) == 0) reached++;
  }
  printf("others reached: %d\n", reached);
  printf("kill -1: %s\n", kill(-1, SIGKILL) ? strerrorname_np(errno) : "OK");
  int neighbour = count > 1 ? atoi(words[1]) : 0;
  printf("the neighbour: %s\n", kill(neighbour, SIGKILL) ? strerrorname_np(errno) : "OK");
  printf("its group: %s\n", kill(-neighbour, SIGKILL) ? strerrorname_np(errno) : "OK");
  printf("its descriptor: %s\n", syscall(SYS_pidfd_open, neighbour, 0) < 0 ? strerrorname_np(errno) : "OK");
}
