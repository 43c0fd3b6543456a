/* Has the kernel keep what nobody takes away: in sockets, pipes, queues, timers, locks. Says when it refuses. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/msg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char block[60000];

static int end(const char *what) {
  printf("%s: %s\n", what, strerrorname_np(errno));
  return 0;
}

static int sockets(void) {
  for (;;) {
    int ends[2], size = 16 << 20;
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends)) return end("sockets");
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    while (send(ends[0], block, sizeof block, 0) > 0) {}
  }
}

static int pipes(void) {
  for (;;) {
    int ends[2];
    if (pipe2(ends, O_NONBLOCK)) return end("pipes");
    fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
    while (write(ends[1], block, sizeof block) > 0) {}
  }
}

static int queues(void) {
  for (;;) {
    int queue = msgget(IPC_PRIVATE, 0600);
    if (queue < 0) return end("queues");
    struct { long kind; char text[8000]; } message = {1, ""};
    while (!msgsnd(queue, &message, sizeof message.text, IPC_NOWAIT)) {}
  }
}

static int posix_queues(void) {
  for (int number = 0;; number++) {
    char name[32];
    snprintf(name, sizeof name, "/q%d", number);
    if (mq_open(name, O_CREAT | O_RDWR, 0600, 0) < 0) return end("posix queues");
  }
}

static int timers(void) {
  for (;;) {
    timer_t timer;
    if (timer_create(CLOCK_MONOTONIC, 0, &timer)) return end("timers");
  }
}

static int signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  sigprocmask(SIG_BLOCK, &set, 0);
  for (;;)
    if (sigqueue(getpid(), SIGRTMIN, (union sigval){0})) return end("signals");
}

static int watches(void) {
  int watch = inotify_init();
  for (int number = 0;; number++) {
    char name[32];
    snprintf(name, sizeof name, "%d", number);
    if (mkdir(name, 0700) || inotify_add_watch(watch, name, IN_ALL_EVENTS) < 0) return end("watches");
  }
}

/* Each locked byte is a lock of its own in the kernel. */
static int locks(void) {
  int file = open("x", O_CREAT | O_RDWR, 0600);
  for (long place = 0;; place += 2) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = place, .l_len = 1};
    if (fcntl(file, F_SETLK, &lock)) return end("locks");
  }
}

/* Descriptors on their way over a socket that is on its way itself: no process holds them. */
static int in_flight(void) {
  for (;;) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends)) return end("in flight");
    char space[CMSG_SPACE(sizeof ends)] = {0}, byte = 0;
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    *head = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof ends)};
    memcpy(CMSG_DATA(head), ends, sizeof ends);
    if (sendmsg(ends[0], &message, 0) < 0) return end("in flight");
    close(ends[0]);
    close(ends[1]);
  }
}

int main(int count, char **words) {
  static const struct { const char *name; int (*run)(void); } kinds[] = {
      {"sockets", sockets}, {"pipes", pipes},     {"queues", queues}, {"posix queues", posix_queues}, {"timers", timers},
      {"signals", signals}, {"watches", watches}, {"locks", locks},   {"in flight", in_flight}};
  setbuf(stdout, 0);
  for (size_t number = 0; number < sizeof kinds / sizeof *kinds; number++)
    if (count > 1 && !strcmp(words[1], kinds[number].name)) return kinds[number].run();
  return 2;
}
