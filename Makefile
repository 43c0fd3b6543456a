# The two commands are `make demo` and `make test`; everything else is a part of them.
# Each target is one script or one cargo command, so that nothing is known only to make.

CARGO ?= cargo

# For the demo. Each recipe is one plain command, which make runs without a shell: on Ctrl-C it then
# waits until the script has cleaned up.
export KEEP PORT
# For the installation.
export DESTDIR PREFIX
# Seconds for each fuzz target.
export FUZZ_SECONDS

.PHONY: help deps build install uninstall deb demo test test-vm fuzz images images-test bench leak density fmt lint advisories

help:
	@echo 'make demo      build, start the daemon on 127.0.0.1, run real programs (KEEP=1, PORT=N)'
	@echo 'make test      the whole suite, with the VM tests'
	@echo 'make test-vm   only the tests in the Debian VM (systemd, cgroup v2)'
	@echo 'make fuzz      every fuzz target for 5 s each (FUZZ_SECONDS=N)'
	@echo 'make images    build every image that comes with kiln into the store of this host (root)'
	@echo 'make images-test   build every image in a store of its own, run the language corpus in it (root)'
	@echo 'make bench     measure beside bubblewrap and crun, write docs/PERFORMANCE.md (half an hour)'
	@echo 'make leak      10,000 jobs through the release build, and what the host shows before and after (root)'
	@echo 'make density   500 sandboxes at once in the release build, and what each needs (root)'
	@echo 'make build     release build of kiln and kiln-spawner'
	@echo 'make install   copy the release build and the units into the system (DESTDIR, PREFIX=/usr/local; root)'
	@echo 'make uninstall remove these files; settings and data stay'
	@echo 'make deb       build the Debian package from a release build'
	@echo 'make deps      install the Debian packages that building and testing need'
	@echo 'make fmt lint  format the code; run clippy as the tests do'
	@echo 'make advisories   known vulnerabilities of dependencies (needs cargo-deny, network)'

deps:
	packaging/deps.sh test

build:
	packaging/deps.sh build
	$(CARGO) build --release --locked --bins
	packaging/generate.sh

install:
	packaging/install.sh

uninstall:
	packaging/install.sh uninstall

deb: build
	packaging/deps.sh deb
	packaging/deb.sh

demo:
	packaging/demo.sh

test:
	tests/run.sh

test-vm:
	packaging/deps.sh test
	tests/vm/run.sh

fuzz:
	packaging/deps.sh fuzz
	tests/fuzz/run.sh

images:
	packaging/deps.sh images
	$(CARGO) build --release --locked --bins
	packaging/images.sh

images-test: export TEST_IMAGES = all
images-test:
	packaging/deps.sh images
	tests/run.sh only privileged_tests recipes::every_program

bench:
	packaging/deps.sh bench
	$(CARGO) build --release --locked --bins
	tests/bench/run.py $${CARGO_TARGET_DIR:-target}/release/kiln

leak: build
	tests/bench/leak.py target/release/kiln

density: build
	tests/bench/density.py target/release/kiln

fmt:
	$(CARGO) fmt
	$(CARGO) fmt --manifest-path tests/fuzz/Cargo.toml

lint:
	$(CARGO) clippy --locked --all-targets -- -D warnings

advisories:
	$(CARGO) deny --locked check advisories
