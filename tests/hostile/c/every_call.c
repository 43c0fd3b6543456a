/* Every number, by each gate of the kernel, in a child of its own and with arguments that mean nothing. Prints the
   gate, the number and what became of the child: 0, the number of the error, or SIG and the number of the signal. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LAST = 600 };

/* Nothing lies on the stack between the call and the end: after vfork the parent goes on with the child's stack. */
static void __attribute__((noreturn)) call_by_syscall(long number) {
  long result;
  register long fourth __asm__("r10") = -1, fifth __asm__("r8") = -1, sixth __asm__("r9") = -1;
  __asm__ volatile("syscall" : "=a"(result)
                   : "a"(number), "D"(-1l), "S"(-1l), "d"(-1l), "r"(fourth), "r"(fifth), "r"(sixth)
                   : "rcx", "r11", "memory");
  long code = result < 0 && result > -200 ? -result : 0;
  for (;;) __asm__ volatile("syscall" : : "a"(231l), "D"(code) : "rcx", "r11", "memory");
}

static void __attribute__((noreturn)) call_by_interrupt(long number) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "c"(-1l), "d"(-1l), "S"(-1l), "D"(-1l) : "memory");
  long code = result < 0 && result > -200 ? -result : 0;
  for (;;) __asm__ volatile("syscall" : : "a"(231l), "D"(code) : "rcx", "r11", "memory");
}

int main(void) {
  const struct { const char *name; long bit; } gates[] = {{"x86-64", 0}, {"x32", 0x40000000}, {"i386", 0}};
  for (int gate = 0; gate < 3; gate++)
    for (long number = 0; number <= LAST; number++) {
      int child = fork(), status;
      if (child == 0) {
        alarm(1); /* for what waits */
        if (gate == 2) call_by_interrupt(number);
        call_by_syscall(number | gates[gate].bit);
      }
      if (child < 0 || waitpid(child, &status, 0) != child) return 1;
      const char *kind = WIFSIGNALED(status) ? "SIG" : "";
      printf("%s %ld %s%d\n", gates[gate].name, number, kind, WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
}
