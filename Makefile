# SPDX-License-Identifier: BSD-3-Clause
# The commands of everyday work; Meson does the building.
#
#   make demo      builds, shows the driver at work on an emulated controller
#   make test      builds, runs every test; ends with one line of counts
#   make build     leaves the command-line program at build/holdfast
#   make bench     measures; make soak, make fuzz: longer adversity
#   make lint      the checks on the text alone
#   make coverage  the lines that the tests run
#   make install   PREFIX=/usr/local DESTDIR=
#   make clean     removes what was built

BUILD  ?= build
PREFIX ?= /usr/local
MESON  ?= meson
TIME   ?=
SEED   ?=

.PHONY: all build everything deps demo test bench soak fuzz lint coverage install clean

all: build

deps:
	@scripts/install-deps build

$(BUILD)/build.ninja: | deps
	$(MESON) setup --prefix=$(PREFIX) $(BUILD)

build: deps $(BUILD)/build.ninja
	ninja -C $(BUILD) program

everything: build
	ninja -C $(BUILD)

demo: build
	@scripts/install-deps build demo
	scripts/demo $(BUILD)

test:
	@scripts/test

bench: everything
	@scripts/install-deps build test
	scripts/bench $(BUILD)

soak: everything
	TIME='$(TIME)' SEED='$(SEED)' scripts/soak $(BUILD)

fuzz:
	@scripts/install-deps build test
	TIME='$(TIME)' scripts/fuzz build-fuzz

lint: deps
	@scripts/install-deps build test
	@$(MAKE) --no-print-directory build
	$(MESON) test -C $(BUILD) --suite lint --print-errorlogs

coverage:
	@scripts/install-deps build test
	scripts/coverage build-coverage

install: build
	$(MESON) configure $(BUILD) --prefix=$(PREFIX)
	ninja -C $(BUILD) program
	DESTDIR='$(DESTDIR)' $(MESON) install -C $(BUILD) --no-rebuild

clean:
	rm -rf $(BUILD) build-asan build-tsan build-fuzz build-coverage
