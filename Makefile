# Every developer command, in one place. `make help` lists them.
#
# `make demo` and `make test` need nothing before them: they set up what is missing.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD := 1

env := scripts/with_env.sh
section := scripts/section.sh
stamps := .cache/stamps
python_files := builder webgpu_kernels scripts tests_e2e
ARGS ?=

# Only set-up steps run side by side; they say so themselves.
ifndef side_by_side
.NOTPARALLEL:
endif
.DELETE_ON_ERROR:

##@ Use

demo: setup build ## serve the chat site and ask the demo model a question in a headless browser (ARGS=--once: then stop)
	@$(env) node scripts/demo.mjs $(ARGS)

##@ Check

test: setup ## everything CI runs
	@$(section) "Lint" $(MAKE) lint
	@$(section) "Build" $(MAKE) build
	@$(section) "Types" $(MAKE) types
	@$(section) "API reference" $(MAKE) docs
	@$(section) "Python tests" $(MAKE) test-py
	@$(section) "TypeScript tests" $(MAKE) test-js
	@$(section) "Browser tests" $(MAKE) test-e2e

lint: setup build-runtime ## formatting, lint rules and import directions
	@$(env) ruff check $(python_files)
	@$(env) ruff format --check $(python_files)
	@$(env) lint-imports
	@$(env) python -m webbuild.schema.generate --check
	@$(env) biome check --error-on-warnings
	@$(env) depcruise --config .dependency-cruiser.cjs runtime_js/src demo_site/src

types: setup build-runtime ## mypy and tsc, both strict
	@$(env) mypy $(python_files)
	@npm run --silent types --workspaces --if-present

test-py: setup build-runtime ## Python tests (kernels on the software GPU, logits against transformers); ARGS goes to pytest
	@$(env) pytest --numprocesses auto --dist worksteal $(ARGS)

test-js: setup build-runtime ## TypeScript unit tests
	@$(env) npm run --silent test -w runtime_js
	@$(env) npm run --silent test -w demo_site

test-e2e: setup build ## tests in a real browser; ARGS goes to Playwright
	@$(env) npm run --silent test -w tests_e2e -- $(ARGS)

format: setup ## rewrite files in the house style
	@$(env) ruff check --fix --quiet $(python_files)
	@$(env) ruff format $(python_files)
	@$(env) biome check --write

figure-%: setup build ## print a figure of the docs: one per file in scripts/figures; ARGS goes to it
	@$(env) python scripts/figures/$*.py $(ARGS)

screenshots: setup build ## the pictures in docs/images, of the chat and of the benchmark
	@$(env) node scripts/screenshots.mjs

##@ Build

generate: setup ## runtime_js/src/generated, from the schema in builder/webbuild/schema
	@$(env) python -m webbuild.schema.generate

build: build-runtime build-site build-examples ## the npm package, the chat site and the examples
build-runtime: runtime_js/dist/index.js ## runtime_js/dist, with its sizes
build-site: demo_site/dist/index.html ## demo_site/dist
build-examples: examples/dist/stamp ## examples/dist

runtime_js/dist/index.js: $(stamps)/node $(stamps)/python runtime_js/build.mjs $(shell find runtime_js/src wasm -type f) scripts/build_grammar.sh
	@npm run --silent build -w runtime_js

demo_site/dist/index.html: runtime_js/dist/index.js demo_site/build.mjs $(shell find demo_site/src demo_site/public -type f)
	@npm run --silent build -w demo_site

examples/dist/stamp: runtime_js/dist/index.js examples/build.mjs $(shell find examples -type f -not -path '*/dist/*' -not -path '*/node_modules/*')
	@node examples/build.mjs && touch $@

docs: setup-node ## the API reference, from TSDoc: docs/dist
	@$(env) typedoc --logLevel Warn

demo-pack: setup ## pack the demo model's checkpoint into the chat site
	@$(env) webbuild pack builder/demo_model/checkpoint -o demo_site/public/packs/demo --name webbuild-demo --force

demo-train: setup ## train the demo model anew (an hour on two cores); ARGS goes to builder/demo_model/train.py
	@PYTHONPATH=builder $(env) python -m demo_model.train --minutes 60 --out .cache/demo_model --state .cache/demo_model.pt $(ARGS)

##@ Set up

setup: ## Python and npm packages, and a browser with WebGPU
	@$(MAKE) --silent --jobs 2 side_by_side=yes setup-python setup-browser

setup-python: $(stamps)/python
setup-node: $(stamps)/node
setup-browser: $(stamps)/browser

$(stamps)/python: pyproject.toml requirements.lock scripts/setup_python.sh
	@scripts/setup_python.sh
	@mkdir -p $(@D) && touch $@

$(stamps)/node: package-lock.json package.json */package.json examples/*/package.json
	@command -v npm >/dev/null || { echo "webbuild needs Node 20.19 or newer, with npm" >&2; exit 1; }
	@echo "Installing npm packages (versions from package-lock.json)" >&2
	@npm ci --no-audit --no-fund --loglevel=error
	@mkdir -p $(@D) && touch $@

$(stamps)/browser: $(stamps)/node scripts/setup_browser.sh scripts/browser.mjs $(wildcard scripts/software_gpu/*)
	@scripts/setup_browser.sh
	@mkdir -p $(@D) && touch $@

clean: ## remove build outputs, environments and caches
	rm -rf .venv .cache node_modules */node_modules examples/*/node_modules */dist test-results tests_e2e/test-results

help: ## this list
	@awk -F':.*## ' '/^##@/ { print "\n" substr($$0, 5) } /^[a-z0-9%-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo demo-pack demo-train test lint types test-py test-js test-e2e format screenshots generate build build-runtime build-site build-examples docs \
  setup setup-python setup-node setup-browser clean help
