#!/bin/sh
# Compiles the C programs of the hostile corpus: compile.sh SOURCES FOLDER. They run in the sandbox, with the C library of
# the host's /usr.
set -eu
for source in "$1"/*.c; do
  cc -O1 -w -o "$2/$(basename "$source" .c)" "$source" -pthread -lrt
done
