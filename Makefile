# Every target sets up what it needs: `make test` works as the first command after a clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# modules are compiled once, even where the environment says not to keep that: the suite starts many processes
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup browser demo test check format lint types shapes docs dist matrix sanitize clean

setup: $(READY)

$(READY): requirements/lock.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "heedful needs Python 3.11 or later; try: make PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/lock.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(READY)

demo: $(READY)
	$(BIN)/heedful demo

# one process a core, and each with one thread: threads that wait for each other's cores are slow
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4

# pages are also tested in a browser, where there is one or apt may bring it; without it, those tests say so
browser:
	@command -v chromium chromium-browser google-chrome >/dev/null || \
		{ test "$$(id -u)" = 0 && timeout 60 apt-get update && timeout 300 apt-get install --yes chromium; } \
		>/dev/null 2>&1 || true

test: $(READY) browser
	$(PYTEST) -m "not slow"

# the tests come last, so that their summary is what is read
check: format lint types shapes browser
	$(PYTEST)

format: $(READY)
	$(BIN)/ruff format --check .

lint: $(READY)
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/pyright

# the shapes in the signatures, checked at run time; left out are tests that pass wrong types on
# purpose, those that count operations, which the checker changes, and those that trace through
# FlexAttention, which cannot follow the checker
shapes: $(READY)
	$(PYTEST) tests/test_mask.py tests/mask tests/selection tests/ops tests/nn tests/models --quiet \
		-k "not rejects and not refuse and not block_mask and not compile and not export and not costs" \
		--jaxtyping-packages=heedful.ops,heedful.mask,heedful.selection,heedful.nn,heedful.models,beartype.beartype

# essays and the reference as pages; open site/index.html
docs: $(READY)
	$(BIN)/python docs/build_site.py site

# what is published: a wheel and a source archive, in dist/
dist: $(READY)
	rm -rf dist
	$(BIN)/python -m build --outdir dist .

# that wheel under Python 3.11, 3.12 and 3.13 and three versions of torch, from bare environments;
# an hour or two, and a package index; needs these Pythons on the PATH
matrix: dist
	$(BIN)/nox

# random calls of the native kernel while every access to memory is watched; not part of `check`,
# because it needs a compiler with its sanitizers, and minutes
SANITIZED_SHAPES ?= 400
SANITIZED := $${CXX:-c++} -fsanitize=address,undefined -fno-sanitize-recover=undefined
sanitize: $(READY)
	@set -e; \
	libraries="$$($${CXX:-c++} -print-file-name=libasan.so) $$($${CXX:-c++} -print-file-name=libstdc++.so)"; \
	CXX="$(SANITIZED)" ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0 \
		$(BIN)/python benchmarks/_sanitized_libraries.py; \
	for isa in $$($(BIN)/python -c 'from heedful.kernels.cpu.isa import supported; print(*supported())'); do \
		LD_PRELOAD="$$libraries" ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 OMP_NUM_THREADS=1 \
			$(BIN)/python benchmarks/fuzz_attention.py --sanitize --isa $$isa \
			--shapes $(SANITIZED_SHAPES) --backward-share 0.5; \
		$(BIN)/python benchmarks/fuzz_attention.py --guard --isa $$isa --shapes $(SANITIZED_SHAPES); \
		LD_PRELOAD="$$libraries" ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 HEEDFUL_ISA=$$isa \
			CXX="$(SANITIZED)" \
			$(BIN)/python -m pytest -q tests/kernels/writing tests/models/test_native_writing.py; \
	done

clean:
	rm -rf $(VENV) .nox dist site .pytest_cache .ruff_cache .hypothesis
