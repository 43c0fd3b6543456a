/* A system call by another gate than x86-64's: its number with the bit of x32, or the 32-bit interrupt. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **words) {
  long result = 0;
  if (count > 1 && !strcmp(words[1], "x32")) result = syscall(SYS_getpid | 0x40000000);
  if (count > 1 && !strcmp(words[1], "i386")) __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory");
  printf("%ld\n", result);
}
