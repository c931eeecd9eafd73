# SPDX-License-Identifier: GPL-2.0-or-later
# A thin front door: the work is done by tools/ and testbed/.

.PHONY: help demo demo-arm check check-slow check-quick build tree refresh export check-patches \
	check-each vm bench bench-guest fuzz soak clean python host-check deb check-deb \
	host-kernel-deb check-host-kernel

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-17s %s\n", $$1, $$2 }' Makefile

demo: python ## install, fetch, build and run x86-nvme-s1, with its picture and verdict
	@tools/demo

demo-arm: python ## the same for arm-nvme-s1, on an emulated Arm machine
	@tools/demo arm64

check: python ## run every test
	@tools/check

check-slow: python ## run the scenarios that take minutes (hotplug, 50 times; a guest of the guest)
	@tools/deps
	@tools/build
	@tools/build-cross > /dev/null
	@testbed/run --all --slow

check-quick: python ## run the tests that take about a minute after a build
	@tools/check --quick

build: python ## build QEMU with the series: build/qemu/qemu-system-{x86_64,aarch64}
	@tools/deps
	@tools/build

tree: python ## make the scratch git tree build/tree: one commit per patch (TREE=)
	@tools/tree

refresh: ## write the scratch tree's commits back as patches/ (TREE=)
	@tools/refresh

export: ## write the series for git am, or QUILT=1 for Debian's package (SIGNOFF="Name <mail>")
	@tools/export

deb: python ## build Debian packages in build/deb, as root (DIST=bookworm or trixie)
	@tools/deps
	@tools/build-deb

check-deb: python ## build them, install, start and remove them in a bare system (DIST=)
	@tools/deps
	@tools/check-deb

host-kernel-deb: python ## build a Linux for the host in build/host-kernel (ARCH=amd64 or arm64, FLAVOUR=)
	@tools/deps debhelper openssl zstd
	@tools/host-kernel-deb

check-host-kernel: python ## build it, boot it in the testbed, nest a guest's disk on it (ARCH=, FLAVOUR=)
	@tools/deps debhelper openssl zstd
	@tools/build
	@tools/build-cross > /dev/null
	@tools/check-host-kernel

check-patches: ## check patches/ and qemu/ without any QEMU source
	@tools/check-patches

check-each: ## build every commit of the series (slow)
	@tools/check-each

host-check: python ## tell of each PCI device whether this host can nest it (ARGS=)
	@tools/deps > /dev/null
	@built=$$(tools/build contrib/viommu-host-check/viommu-host-check) && \
	qemu=$$built/qemu-system-$$(uname -m) && if [ -x "$$qemu" ]; then set -- --qemu "$$qemu"; fi && \
	exec "$$built/contrib/viommu-host-check/viommu-host-check" "$$@" $(ARGS)

vm: ## run one scenario: RUN=name; with L1=shell a shell in L1 instead
	@testbed/run $(if $(filter shell,$(L1)),--shell) $(or $(RUN),--list)

bench: python ## measure the cost per descriptor on fakehost (PEER=another QEMU or debian)
	@tools/deps
	@tools/build qemu-system-x86_64 qemu-system-aarch64 \
	    tests/qtest/fakehost/libfakehost.so
	@bench/run

bench-guest: python ## measure in the testbed what a guest's I/O costs (RUN=set-ups)
	@tools/deps
	@tools/build
	@tools/build-cross > /dev/null
	@bench/guest $(RUN)

fuzz: ## look for inputs that break QEMU, and keep good ones (TARGET=, SECONDS=)
	@tools/deps
	@tools/fuzz $(TARGET) $(if $(TARGET),$(SECONDS))

soak: ## plug, reboot and fuzz for long, and count it (SECONDS= for each fuzz target)
	@tools/deps
	@tools/soak $(SECONDS)

clean: ## remove build/ (downloads and kernels stay in the cache)
	rm -rf build

# Everything else of Debian is installed by tools/deps, which is Python.
python:
	@[ -x /usr/bin/python3 ] || { [ "$$(id -u)" = 0 ] || s="sudo -n"; \
	$$s apt-get -qq update && $$s apt-get -qq install -y python3; } || { \
	echo "python3 is missing; as root: apt-get install python3" >&2; exit 1; }
