# Two commands for people: `make demo` and `make test`. Each makes .venv and installs what it needs.
PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check
RUN := $(VENV)/bin/python

.PHONY: demo test test-torch test-sanitize bench bench-recurrent check clean system

# What pip cannot bring: an interpreter with venv and a C++20 compiler.
system:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null || { echo "kiyas needs Python 3.11 or newer as '$(PYTHON)': apt install python3 (or set PYTHON=…)"; exit 1; }
	@$(PYTHON) -c "import venv, ensurepip" 2>/dev/null || { echo "kiyas needs Python's venv module: apt install python3-venv"; exit 1; }
	@$(PYTHON) -c "import pathlib, sys, sysconfig; sys.exit(not pathlib.Path(sysconfig.get_path('include'), 'Python.h').exists())" || { echo "kiyas needs Python's headers: apt install python3-dev"; exit 1; }
	@command -v $${CXX:-c++} >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || { echo "kiyas needs a C++ compiler: apt install g++"; exit 1; }

$(VENV)/bin/python: | system
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --upgrade "pip>=25.1"

# Installed again when anything that goes into the package has changed.
SOURCES := pyproject.toml CMakeLists.txt $(shell find src native -type f -not -name '*.pyc')

$(VENV)/demo.stamp: $(VENV)/bin/python $(SOURCES)
	@echo "Installing kiyas (the compiled module takes about half a minute) …"
	@$(PIP) ".[cli,text]"
	@touch $@

$(VENV)/test.stamp: $(VENV)/bin/python $(SOURCES)
	@echo "Installing kiyas and its tests (the compiled module takes about half a minute) …"
	@$(PIP) --group test ".[cli,text]"
	@touch $@

demo: $(VENV)/demo.stamp
	@$(VENV)/bin/kiyas demo

test: $(VENV)/test.stamp
	@$(RUN) -m ruff check .
	@$(RUN) -m mypy
	@$(RUN) -m pytest -q -m "not torch" --doctest-modules --pyargs tests kiyas

test-torch: $(VENV)/test.stamp
	@$(PIP) --group torch
	@HF_HUB_OFFLINE=1 $(RUN) -m pytest -q -m torch
	@HF_HUB_OFFLINE=1 $(RUN) -m pytest -q -m "not torch" tests/test_encode.py

# The kernels alone, under AddressSanitizer and UBSan.
test-sanitize: $(VENV)/test.stamp
	@$(PIP) cmake ninja
	@$(VENV)/bin/cmake -S . -B build/sanitize -G Ninja -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(VENV)/bin/ninja -DKIYAS_SANITIZE=ON >/dev/null
	@$(VENV)/bin/cmake --build build/sanitize
	@build/sanitize/kernels_check
	@build/sanitize/scan_check
	@build/sanitize/recurrent_check

bench: $(VENV)/test.stamp
	@$(PIP) --group bench
	@env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(RUN) benchmarks/run.py
	@$(RUN) benchmarks/recurrent.py

# The recurrent half of it alone.
bench-recurrent: $(VENV)/test.stamp
	@$(PIP) --group bench
	@$(RUN) benchmarks/recurrent.py

check:
	@$(RUN) -m ruff check .
	@$(RUN) -m mypy

clean:
	rm -rf build dist $(VENV)
