/* Stays for ever: asleep, stopped, stopped with its group, deaf to every signal, or behind a vfork. */
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **words) {
  const char *kind = count > 1 ? words[1] : "";
  if (!strcmp(kind, "stopped")) raise(SIGSTOP);
  if (!strcmp(kind, "group")) kill(0, SIGSTOP);
  if (!strcmp(kind, "deaf"))
    for (int number = 1; number < 65; number++) signal(number, SIG_IGN);
  if (!strcmp(kind, "vfork") && vfork() == 0)
    for (;;) pause();
  for (;;) pause();
}
