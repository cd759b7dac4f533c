# The handful of verbs. Every target installs first; a second run of it takes seconds.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test test-parts test-line check format texts screenshots secrets clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "loomwatch needs Python 3.11 or newer: install it, or name it with make PYTHON=python3.11" >&2; exit 2; }
	@echo "Installing into $(VENV): several GB the first time (PyTorch), a few minutes."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --editable '.[dev]'
	@touch $(STAMP)

demo: install
	@$(BIN)/loomwatch demo

test: test-parts test-line

test-parts: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests/unit tests/integration

test-line: install
	$(BIN)/python -m pytest tests/e2e

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml deploy/compose.gpu.yaml

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Every page as a picture, light and dark, as on the wall and on a tablet, in each language; needs Debian's Chromium
screenshots: install
	$(BIN)/python -m tests.e2e.screenshots docs/pages

# The texts of dashboard and papers into each language's catalogs, where what is new waits to be translated
texts: install
	@set -e; new=$$(mktemp); trap 'rm -f "$$new"' EXIT; \
	for catalog in dashboard/locale/*/LC_MESSAGES/loomwatch.po storage/reports/locale/*/LC_MESSAGES/loomwatch.po; do \
		$(BIN)/pybabel -q extract --mapping babel.cfg --no-location --sort-output --output "$$new" "$${catalog%/locale/*}"; \
		$(BIN)/pybabel -q update --input-file "$$new" --output-file "$$catalog" --width 120 \
			--locale "$$(basename "$$(dirname "$$(dirname "$$catalog")")")" \
			--no-fuzzy-matching --ignore-obsolete; \
		sed -i -E '/^"(Report-Msgid|POT-Creation|PO-Revision|Last-Translator|Language-Team|Generated-By)/d' "$$catalog"; \
	done

secrets:
	@mkdir -p deploy/secrets && chmod 700 deploy/secrets
	@test -e deploy/secrets/postgres_password || \
		(umask 077; $(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(24), end="")' >deploy/secrets/postgres_password)
	@umask 077; printf 'postgresql+psycopg://loomwatch:%s@postgres:5432/loomwatch' \
		"$$(cat deploy/secrets/postgres_password)" >deploy/secrets/loomwatch_database_url
	@chmod 644 deploy/secrets/*  # the containers' own users read them; the folder keeps others out
	@echo "deploy/secrets holds the database's password and address"

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
