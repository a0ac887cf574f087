# Two commands do everything on a fresh machine: `make study` and `make test`. PYTHON chooses the interpreter.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := -m pytest --numprocesses 2 --dist loadfile
JAX_PYTHON ?= $(BIN)/python

.PHONY: study test suite coverage lint docs floor newest dist bench device nightly claims clients clean

study: .venv/installed
	$(BIN)/tapered study bmi

# types are checked while the suite begins: it waits for others now and then
test: .venv/developed
	@$(MAKE) --no-print-directory --jobs=2 lint suite

suite: .venv/developed
	$(BIN)/python $(PYTEST)

# the same suite, and which lines and branches of src/ it misses: half as long again on Python 3.11
coverage: .venv/developed
	$(BIN)/python $(PYTEST) --cov --cov-report=term

lint: .venv/developed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# the documentation as a site, build/docs/index.html: warnings are errors, nothing is loaded from elsewhere
docs: .venv/documented
	rm -rf build/docs
	$(BIN)/python -m sphinx --quiet --fresh-env --keep-going --fail-on-warning -d build/doctrees docs build/docs
	$(BIN)/python docs/making/links.py build/docs

# the suite on the lowest versions of everything that pyproject.toml allows, and on the newest
floor: .venv-floor/installed
	.venv-floor/bin/python $(PYTEST)

newest: .venv-newest/bin/python
	$(PYTHON) tests/versions.py any > .venv-newest/required.txt
	.venv-newest/bin/pip install --quiet --upgrade --upgrade-strategy eager --requirement .venv-newest/required.txt --editable .
	.venv-newest/bin/python $(PYTEST)

# wheel and sdist in dist/, each installed into a fresh environment, where a study runs; each brings a torch
dist: .venv-dist/bin/python
	rm -rf dist
	.venv-dist/bin/pip install --quiet 'hatchling>=1.27'
	.venv-dist/bin/python -m hatchling build --directory dist
	$(PYTHON) tests/installed.py dist

# optax is compared where JAX_PYTHON has it: make bench JAX_PYTHON=path, or pip install '.[bench]' before
bench: .venv/developed
	$(BIN)/python benchmarks/speed/table.py --jax-python $(JAX_PYTHON)

# on a machine with a GPU: exactness, the kernels, torch's optimizer suite and the speed there, kept in
# benchmarks/measured-device.json; DEVICE_PYTHON has torch with CUDA
DEVICE_PYTHON ?= $(PYTHON)
device:
	PYTHONPATH=src $(DEVICE_PYTHON) benchmarks/speed/device.py

# every claim by its quick studies, and every page they make in a browser
nightly: .venv/developed
	rm -rf studies-nightly
	$(BIN)/tapered claims --run --quick --store studies-nightly
	$(BIN)/python benchmarks/evidence/pages.py studies-nightly

# every claim in full, kept in the package and shown in its page
claims: .venv/developed
	$(BIN)/tapered claims --run --keep src/tapered/claims/results.json
	$(BIN)/python benchmarks/evidence/claims_page.py

# training frameworks, in an environment of their own: with --no-deps, since some of them would bring another torch
clients: .venv-clients/installed
	.venv-clients/bin/python benchmarks/clients/clients.py
	.venv-clients/bin/python benchmarks/clients/trainers/documents.py

.venv-clients/installed: .venv-clients/bin/python pyproject.toml constraints.txt benchmarks/clients/trainers/requirements.txt
	.venv-clients/bin/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	.venv-clients/bin/pip install --quiet --no-deps --requirement benchmarks/clients/trainers/requirements.txt
	touch $@

%/bin/python:
	$(PYTHON) -m venv $*

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/developed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@ .venv/installed

.venv/documented: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@ .venv/installed

.venv-floor/installed: .venv-floor/bin/python pyproject.toml tests/versions.py
	$(PYTHON) tests/versions.py lowest > .venv-floor/required.txt
	.venv-floor/bin/pip install --quiet --requirement .venv-floor/required.txt --editable .
	touch $@

clean:
	rm -rf .venv .venv-* dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
