# The first two commands of the README are `make demo` and `make test`. Both set up everything in .venv.

PYTHON ?= python3
VENV ?= .venv
PEERS ?= .peers
AUDIT ?= .audit
LOWEST ?= .lowest
AUDIT_OPTIONS ?=
SECONDS ?= 60
CORPUS ?= data/quickstart/train.json
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export IE_MODEL =

.PHONY: demo test test-browser quick fmt lint type unit docs lowest audit bench fuzz clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

$(READY)-bench: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	touch $@

demo: $(READY)
	$(BIN)/ie train quickstart-en --output runs/quickstart-en --overwrite
	$(BIN)/ie eval runs/quickstart-en/model data/quickstart-en/dev.jsonl --errors 1
	$(BIN)/ie predict data/samples/plain-en.txt --text --model runs/quickstart-en/model
	$(BIN)/ie train quickstart --output runs/quickstart --overwrite
	$(BIN)/ie eval runs/quickstart/model data/quickstart/dev.json --errors 1
	$(BIN)/ie predict data/samples/plain.txt --text --model runs/quickstart/model
	@echo
	@echo "Next: your own data."
	@echo "  $(BIN)/ie init YOUR.jsonl -o recipe.yaml    # inspects the data, writes a recipe"
	@echo "  $(BIN)/ie check recipe.yaml                 # what is wrong with it"
	@echo "  $(BIN)/ie train recipe.yaml                 # the best model is in runs/NAME/model"
	@echo "  $(BIN)/ie predict FILE | jq -c '.entities[]'    # or .relations[]?"

test: lint type unit

fmt: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/yamllint --strict .
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-actions action.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms \
	  $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/hadolint Dockerfile

type: $(READY)
	$(BIN)/mypy

unit: $(READY)
	$(BIN)/pytest -n 2 --dist worksteal

$(READY)-browser: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt 'playwright>=1.50,<2'
	touch $@

# The pages in a real browser. It drives the Chromium of the system: `apt-get install chromium` on Debian.
test-browser: $(READY)-browser
	$(BIN)/pytest -m browser

# For development: skip the tests that train a model, start a process, or are slow for another reason, and try fewer examples
# of each property.
quick: $(READY)
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow" --hypothesis-profile quick

# The site, in docs/_build/html: it opens without a server. First, the pages of docs/reference are generated from the code.
docs: $(READY)
	$(BIN)/python docs/generate.py
	$(BIN)/pytest -q tests/docs/test_links.py
	$(BIN)/python -m sphinx -W --keep-going -n -q -b html -d docs/_build/doctrees docs docs/_build/html
	@echo "docs/_build/html/index.html"

$(LOWEST)/.ready: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/pip install --quiet --disable-pip-version-check -c constraints-lowest.txt -e '.[dev,bench,cluster,wandb,mlflow,spacy]'
	touch $@

# The tests with the oldest packages that pyproject.toml allows, including all extras, for Python 3.11 on Linux. The version of
# torch is the oldest one for the extra `export`; the oldest torch that the package itself allows is not tested.
lowest: $(LOWEST)/.ready
	$(LOWEST)/bin/python -m pytest -n 2 --dist worksteal

$(AUDIT)/.ready:
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/pip install --quiet --disable-pip-version-check 'pip-audit>=2.9,<3'
	touch $(AUDIT)/.ready

# Known vulnerabilities of the packages that constraints.txt pins. It queries a service, so it is not a test; it fails if
# the service does not answer for a package. Another service: AUDIT_OPTIONS='-s osv'; a local copy: AUDIT_OPTIONS='-s osv --osv-url URL'.
audit: $(AUDIT)/.ready
	@$(AUDIT)/bin/pip-audit -r constraints.txt --no-deps --disable-pip --strict --progress-spinner off $(AUDIT_OPTIONS) || { \
	  echo "audit: NOT passed. With a table above: known vulnerabilities. Without: the service could not be queried," \
	    "nothing was checked." >&2; exit 1; }

$(PEERS)/.ready: benchmarks/peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check -r benchmarks/peers.txt
	touch $(PEERS)/.ready

# Takes hours on two cores. The results were measured with CLUENER's training file.
bench: $(READY)-bench $(PEERS)/.ready
	$(BIN)/python benchmarks/speed.py --peers $(PEERS)/bin/python --corpus $(CORPUS) --write
	$(BIN)/python benchmarks/growth.py --write
	$(BIN)/python benchmarks/loss.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/relations.py train

# Damaged samples for every reader; `make fuzz SECONDS=7200` runs for two hours. Findings are kept in .fuzz for --replay.
fuzz: $(READY)
	nice $(BIN)/python tests/support/fuzz.py --seconds $(SECONDS)

clean:
	rm -rf $(VENV) $(PEERS) $(AUDIT) $(LOWEST) build dist docs/_build .mypy_cache .ruff_cache .pytest_cache
