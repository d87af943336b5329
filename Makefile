# SPDX-License-Identifier: GPL-2.0
# Builds vfio-mig-core and mnvme out of tree. `make help` lists the targets.
# kbuild does not read this file: it starts at Kbuild.

ifneq ($(words $(subst :, ,x$(CURDIR)x)),1)
$(error $(CURDIR): a path with a blank or a colon, which kbuild cannot use: move the checkout)
endif

# Before anything is downloaded or built.
VALUES := KERNEL OTHER_KERNEL GUEST_KERNEL QEMU OTHER_QEMU
ifneq ($(strip $(foreach v,$(VALUES),$($(v)))),)
DUMMY := $(shell $(foreach v,$(VALUES),$(v)='$($(v))') tools/testing/vm/check-values)
ifneq ($(.SHELLSTATUS),0)
$(error $(strip $(foreach v,$(VALUES),$(if $($(v)),$(v)=$($(v))))): see above)
endif
endif

ifneq ($(KERNEL),)
KDIR := $(shell tools/testing/vm/kernel '$(KERNEL)')/build
ifneq ($(.SHELLSTATUS),0)
$(error KERNEL=$(KERNEL) cannot be used)
endif
endif
KDIR ?= $(shell tools/build/kdir)
RELEASE := $(shell sed -n 's/.*UTS_RELEASE "\(.*\)".*/\1/p' \
	$(KDIR)/include/generated/utsrelease.h 2>/dev/null)
OBJ := $(CURDIR)/build/$(or $(RELEASE),unknown)

# Fault knobs are on, because the tests need them: VFIO_MIG_CORE_FAULT_KNOBS.
FAULT_KNOBS ?= y

ifeq ($(V),)
Q := @
endif

# A kernel that clang built takes modules of clang.
LLVM_IF_CLANG = $(if $(shell grep -sx CONFIG_CC_IS_CLANG=y $(KDIR)/.config),LLVM=1)

# No headers package has the vmlinux that a module's BTF is made from, nor the
# key that modules are signed with.
KBUILD = tools/build/with-tools-of $(KDIR) $(MAKE) --no-print-directory -C $(KDIR) M=$(OBJ) \
	CONFIG_VFIO_MIG_CORE=m CONFIG_MNVME=m CONFIG_SAMPLE_VFIO_MIG_MSCRATCH=m \
	CONFIG_VFIO_MIG_TEST=m CONFIG_SAMPLE_VFIO_MIG_IVSHMEM=m CONFIG_SAMPLE_VFIO_MIG_FW=m \
	CONFIG_VFIO_MIG_CORE_FAULT_KNOBS=$(FAULT_KNOBS) \
	CONFIG_DEBUG_INFO_BTF_MODULES= 'PAHOLE_VERSION=$$(CONFIG_PAHOLE_VERSION)' \
	CONFIG_MODULE_SIG_ALL= $(LLVM_IF_CLANG) $(1)

all: modules

modules: prepare
	@echo "  Kernel $(RELEASE): $(KDIR)"
	+$(Q)flock $(OBJ).lock $(call KBUILD,modules)

modules_install: modules
	+$(Q)$(call KBUILD,modules_install DEPMOD=true)
	$(Q)/sbin/depmod -b "$(INSTALL_MOD_PATH)/" $(RELEASE)

prepare:
	@tools/build/check-kernel "$(KDIR)"
	@mkdir -p $(OBJ)
	@flock $(OBJ).lock tools/build/mirror $(OBJ) $(KDIR)

# vfio-mig, the program, into build/vfio-mig/
tools:
	+$(Q)$(MAKE) -s --no-print-directory -C tools/vfio-mig OUTPUT=$(CURDIR)/build/vfio-mig

tools_install: tools
	+$(Q)$(MAKE) -s --no-print-directory -C tools/vfio-mig OUTPUT=$(CURDIR)/build/vfio-mig install

# Into a kernel source tree, where drivers, selftests and documentation build as its own.
kernel-tree:
	$(Q)tools/build/kernel-tree $(KTREE)

test-kernel-tree:
	$(Q)tools/build/test-kernel-tree $(KTREE)

# A series for Linux 7.3, in build/patches/.
patches:
	$(Q)tools/patches/make $(KTREE)

test-patches:
	$(Q)tools/patches/test $(KTREE)

htmldocs:
	$(Q)tools/build/htmldocs

test-docs:
	$(Q)tools/testing/vm/setup browser
	$(Q)tools/testing/test-docs

deb:
	$(Q)packaging/build-deb build/deb

test-deb:
	$(Q)packaging/test-deb

test-quickstart:
	$(Q)tools/testing/test-quickstart

test-all:
	$(Q)tools/testing/test-all

test-ci:
	$(Q)tools/testing/ci/test

test-mid-copy:
	$(Q)tools/testing/migration/mid-copy

test-fresh:
	$(Q)tools/testing/test-fresh

demo:
	$(Q)tools/testing/migration/demo

test:
	$(Q)tools/testing/run-tests

test-peers:
	$(Q)tools/testing/test-peers

test-firmware:
	$(Q)tools/testing/migration/firmware

test-in-tree:
	$(Q)tools/patches/suite

test-ivshmem:
	$(Q)tools/testing/test-device ivshmem
	$(Q)tools/testing/test-device firmware

test-debug:
	$(Q)tools/testing/test-debug

test-poison:
	$(Q)tools/testing/test-poison

fuzz:
	$(Q)tools/testing/fuzz/run

soak:
	$(Q)tools/testing/soak

exerciser:
	$(Q)tools/testing/exerciser

test-matrix:
	$(Q)tools/testing/test-matrix

bench:
	$(Q)tools/testing/bench/run

lint:
	$(Q)tools/lint/lint

clean:
	rm -rf build

help:
	@echo 'Build:'
	@echo '  all              - build the modules into build/<release>/ (the default)'
	@echo '  modules_install  - install the modules for the kernel of the build'
	@echo '  tools            - build the program vfio-mig into build/vfio-mig/'
	@echo '  tools_install    - install vfio-mig and its man page (prefix=DIR, DESTDIR=DIR)'
	@echo '  htmldocs         - build the documentation as a site in build/html/'
	@echo '  test-docs        - check that site in a browser, wide and narrow'
	@echo '  deb              - make Debian packages in build/deb/: modules by DKMS, tools'
	@echo '  kernel-tree      - copy the sources into the kernel source tree KTREE=DIR'
	@echo '  patches          - make a series of patches for Linux 7.3 in build/patches/'
	@echo '  clean            - remove build/ with all results and logs'
	@echo 'Run as root (each command lists and installs the Debian packages that it needs):'
	@echo '  demo             - migrate a guest and its NVMe disk live, there and back'
	@echo '  test             - run the kselftests and one migration by QEMU, each in a VM'
	@echo '  test-all         - run all tests that this machine can run (hours), print a table'
	@echo '  test-matrix      - run kselftests and migrations for each kernel and QEMU (an hour)'
	@echo '  test-kernel-tree - copy the sources into KTREE, and build there, =y and =m'
	@echo '  test-patches     - build Linux 7.3 after each patch of the series, =y and =m'
	@echo '  test-in-tree     - run the kselftests on Linux 7.3 with that series, in a VM'
	@echo '  test-deb         - install, load and remove the packages on a fresh Debian 12'
	@echo '  test-fresh       - run the first commands of README.md in a new Debian (SUITE=trixie,'
	@echo '                     bookworm)'
	@echo '  test-ci          - check the messages and reports of migration/run for CI'
	@echo '  test-mid-copy    - reset, stop and continue guests in the middle of a copy'
	@echo '  test-quickstart  - run the commands of Documentation/quickstart.rst in a fresh Debian'
	@echo '  test-peers       - run the VFIO selftests of the kernel on mnvme and mscratch'
	@echo '  test-firmware    - migrate a guest while the NVMe driver of its firmware works'
	@echo '  test-ivshmem     - run kselftests on real PCI functions behind an emulated IOMMU'
	@echo '  test-debug       - run the kselftests and KUnit on a kernel with KASAN, lockdep, kmemleak'
	@echo '  test-poison      - run the kselftests on a kernel that marks free memory'
	@echo '  fuzz             - fuzz the decoders, each for TIME seconds (900)'
	@echo '  soak             - migrate COUNT times (300), with random disturbances'
	@echo '  exerciser        - do random operations of users for MINUTES (15), on the debug kernel'
	@echo '  bench            - measure commands of mnvme, and reading a state, in a VM'
	@echo '  lint             - check style and documentation; one line when clean'
	@echo 'Options:'
	@echo '  KDIR=DIR         - kernel to build for (now: $(or $(KDIR),none found))'
	@echo '  KERNEL=K         - the same, and the VM'"'"'s kernel: 6.1, 6.12, 7.3 (Debian'"'"'s),'
	@echo '                     debug, kcsan, modern (built here), host, or a build directory'
	@echo '  QEMU=Q           - QEMU that migrates: 7.2 (v1), 10.0, 11.1 (v2), or a path'
	@echo '  OTHER_QEMU=Q     - target of migrations between two QEMUs'
	@echo '  GUEST_KERNEL=K   - kernel of the guests'
	@echo '  IOMMUFD=1        - attach devices through iommufd'
	@echo '  NO_INSTALL=1     - install nothing, list the missing packages'
	@echo '  FAULT_KNOBS=n    - build the library without its fault knobs in debugfs'
	@echo '  V=1              - show the commands'
	@echo '  INSTALL_MOD_PATH - root directory for modules_install'

.PHONY: bench all modules modules_install prepare demo test test-matrix lint clean help tools tools_install deb test-deb kernel-tree test-kernel-tree htmldocs
.PHONY: test-debug test-ivshmem test-peers test-firmware test-poison fuzz soak exerciser test-quickstart test-fresh test-all test-ci test-mid-copy test-docs patches test-patches test-in-tree
