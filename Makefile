# Everything a fresh clone needs. `make run` and `make test` set up what is missing, and do nothing twice.

ENVIRONMENT := .venv
BIN := $(ENVIRONMENT)/bin
SOURCES := CMakeLists.txt pyproject.toml $(shell find cmake cpp macros models tests/cpp -type f)
ARGS ?=
SECONDS ?= 900

.DEFAULT_GOAL := help
.PHONY: help setup run notebook docs test test-pythons bench format tidy sanitize fuzz coverage lock clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST)

setup: $(ENVIRONMENT)/.built ## environment, locked dependencies, C++ build

run: setup ## run the analysis; ARGS="--threads 1" passes options on
	$(BIN)/python run_analysis.py $(ARGS)

notebook: setup ## open the walk from the data set to the cross-section in JupyterLab
	mkdir -p output
	$(BIN)/jupytext --to ipynb --output output/ttbar.ipynb notebooks/ttbar.md
	$(BIN)/jupyter lab output/ttbar.ipynb

docs: setup ## the documentation, in build/docs; needs doxygen, and no internet once its packages are there
	scripts/need doxygen doxygen --version
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-docs.lock
	mkdir -p build/doxygen
	doxygen docs/Doxyfile
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet -c docs . build/docs $(ARGS)
	@echo "Open build/docs/docs/index.html"

test: setup ## all tests, C++ and Python
	$(BIN)/ctest --test-dir build --output-on-failure --no-tests=error
	$(BIN)/python -m pytest $(ARGS)

test-pythons: setup ## some tests on each CPython from 3.11 to 3.14 that is here; takes minutes and some GB
	scripts/test-pythons $(ARGS)

bench: setup ## speed beside goals and peers, in ten minutes; ARGS="--full" takes an hour, "--help" says more
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock
	$(BIN)/python benchmarks/bench.py $(ARGS)

format: setup ## format and check the code as a commit would
	$(BIN)/pre-commit run --all-files

tidy: setup ## look for bugs in C++ with clang-tidy; takes minutes
	ls cpp/src/*.cpp cpp/src/simulation/*.cpp | xargs -P $(shell nproc) -n 1 $(BIN)/clang-tidy -p build --quiet

sanitize: setup ## C++ tests with the address and undefined-behaviour sanitizers; takes minutes
	$(call in_preset,sanitize)
	ASAN_OPTIONS=detect_leaks=0 $(BIN)/ctest --preset sanitize

fuzz: setup ## feed random files to the reader of models for SECONDS=900; needs Clang
	$(call in_preset,fuzz)
	mkdir -p build-fuzz/corpus
	build-fuzz/tests/cpp/fuzz_forest -max_total_time=$(SECONDS) -timeout=20 build-fuzz/corpus tests/data/xgboost

coverage: setup ## lines that the tests reach, in C++ and Python; takes longer than all tests
	$(call in_preset,coverage)
	$(BIN)/ctest --preset coverage
	$(BIN)/gcovr --root . --filter cpp/ --object-directory build-coverage --exclude-directory ".*/CompilerIdCXX" --html build-coverage/cpp.html --print-summary
	$(BIN)/coverage run -m pytest $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage html --quiet --directory build-coverage/python
	$(BIN)/coverage report

lock: ## write the locks anew from pyproject.toml; ARGS="--upgrade" takes the newest versions
	python3 -m venv build/lock
	build/lock/bin/pip install --quiet --disable-pip-version-check uv
	$(compile_lock) pyproject.toml --all-extras --no-emit-package pyspark --no-emit-package py4j -o requirements.lock $(ARGS)
	echo pyspark | $(compile_lock) - -o requirements-spark.lock $(ARGS)
	for group in bench docs; do $(compile_lock) --group $$group --constraint requirements.lock -o requirements-$$group.lock $(ARGS) || exit; done

clean: ## remove what setup has made
	rm -rf $(ENVIRONMENT) build build-*

compile_lock = build/lock/bin/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header \
  --python-version 3.11 --prerelease if-necessary-or-explicit

in_preset = PATH="$(CURDIR)/$(BIN):$$PATH" cmake --preset $(1) && PATH="$(CURDIR)/$(BIN):$$PATH" cmake --build --preset $(1)

$(ENVIRONMENT)/.locked: requirements.lock scripts/setup-environment
	scripts/setup-environment $(ENVIRONMENT)
	@touch $@

$(ENVIRONMENT)/.built: $(ENVIRONMENT)/.locked $(SOURCES)
	@echo "Building the C++ library and installing the package"
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pip install --quiet --no-build-isolation --no-deps \
	  --config-settings build-dir=build --config-settings cmake.define.BUILD_TESTING=ON --editable .
	@touch $@
