# Everything a person types: make demo | test | check | format | docs | bench | gpu-check | floors | nightly | clean
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# One thread a process: the suite runs cells side by side (and spinning threads cost half a machine).
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= PASSIVE

# uv takes a third of pip's time, but knows nothing of an index or a mirror that pip is told of.
PIP := $(BIN)/python -m pip --disable-pip-version-check
PINNED := -c constraints.txt -e ".[dev]"

# To compile all that is installed takes half of the installation; these are what is imported most.
COMPILED := torch._inductor.compile_fx, torch.export, torch.utils.flop_counter, torchvision, timm, pandas, scipy.stats, sklearn.metrics, \
	matplotlib.pyplot, typer, rich.progress, jinja2, av, pydantic.type_adapter, tabulate, optuna, hypothesis, pytest, xdist

.PHONY: demo test kill-test executors-test floors check lint format docs bench bench-accept gpu-check nightly clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) config list | grep -q index || $(PIP) install --quiet uv || true
	$(BIN)/python -m uv --version > /dev/null 2>&1 && $(BIN)/python -m uv pip install --quiet --python $(BIN)/python $(PINNED) || \
		$(PIP) install --no-compile --quiet $(PINNED)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -c "import $(COMPILED)"
	touch $@

demo: $(READY)  ## the embedded benchmark from nothing to its table
	$(BIN)/python -m bench run --config studies/demo.toml
	$(BIN)/python -m bench table --config studies/demo.toml

test: $(READY)  ## the test suite, in two processes (UNDER = a command to run it under, PYTEST_OPTIONS)
	$(UNDER) $(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_OPTIONS)

kill-test: $(READY)  ## 200 kills of running grids, none of which may show; some minutes
	$(BIN)/python tests/helpers/kills.py --kills 200

executors-test: $(READY)  ## every executor for real: Ray on two nodes, SLURM on this machine
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[ray,slurm]"
	AU_BENCH_EXECUTORS=ray $(BIN)/python -m pytest -v tests/bench/executors/test_executors.py tests/bench/executors/test_ray_cluster.py
	# submitit does not wait for the processes that it starts on this machine
	AU_BENCH_EXECUTORS=slurm sh tests/slurm/with_slurm.sh $(BIN)/python -m pytest -v -W ignore:subprocess:ResourceWarning tests/bench/executors/test_executors.py tests/bench/executors/test_slurm.py

floors:  ## the tests with the lowest versions that pyproject.toml allows, in a fresh .venv-floors
	rm -rf .venv-floors
	$(PYTHON) -m venv .venv-floors
	.venv-floors/bin/python -m pip install --quiet uv
	.venv-floors/bin/python -m uv pip install --quiet --python .venv-floors/bin/python --resolution lowest-direct -e ".[dev]"
	.venv-floors/bin/python -m pytest -n 2 --dist loadfile

check: lint test  ## all that CI checks

lint: $(READY)  ## format, lint, types, docs in step
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python docs/command_line.py --check
	$(BIN)/python docs/code_map.py --check

format: $(READY)  ## put the code in form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)  ## write the pages that are made from the code
	$(BIN)/python docs/command_line.py
	$(BIN)/python docs/code_map.py
	PYTHONPATH=. $(BIN)/python docs/pictures.py

BENCHMARK := $(BIN)/python -m pytest tests/benchmarks -o addopts=--import-mode=importlib --benchmark-only \
	--benchmark-columns=median,iqr,rounds --benchmark-sort=fullname

bench: $(READY)  ## the speed tests, each beside the last accepted figure of this machine, with ratios
	$(BENCHMARK) --benchmark-compare --benchmark-group-by=fullname

bench-accept: $(READY)  ## the speed tests, kept as what `make bench` compares with
	$(BENCHMARK) --benchmark-autosave

GPU_CHECK ?= --out results/studies/speed-gpu

gpu-check:  ## all that a GPU can show, in nine minutes, with the Python that holds torch
	PYTHONPATH="$(CURDIR)$${PYTHONPATH:+:$$PYTHONPATH}" $(PYTHON) studies/gpu_check.py $(GPU_CHECK)

FUZZ_CASES ?= 130

nightly: $(READY)  ## mutated files of every kind, thousands: FUZZ_CASES of each
	AU_BENCH_FUZZ_CASES=$(FUZZ_CASES) $(BIN)/python -m pytest tests/datasets/test_fuzz.py --hypothesis-show-statistics

clean:  ## remove the environment and decoded frames; records stay
	rm -rf $(VENV) .venv-floors .cache .mypy_cache .ruff_cache .pytest_cache build *.egg-info
