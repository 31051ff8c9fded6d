# Everything a developer or CI runs has a name here.  Plain /bin/sh; the one thing needed beforehand is Python 3.11.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup demo up check test bench bench-longpoll bench-service bench-short quality evaluate fuzz golden clean chaos soak edge handbook watched deploy images

VENV ?= .venv
TEST_PROCESSES ?= 2
PY := $(VENV)/bin/python
export VENV

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sort | sed -e 's/:.*## /\t/' | while IFS="$$(printf '\t')" read -r n t; do printf '  make %-8s %s\n' "$$n" "$$t"; done

setup:  ## create .venv from the hashed lock file (quick when already done)
	@sh scripts/setup.sh

demo: setup  ## start the whole service, speak a few requests over HTTP, leave demo/*.wav, stop
	$(PY) scripts/demo.py

up: setup  ## run the service here (API, worker and Redis), until Ctrl-C
	$(PY) -m cli.main up

check: setup  ## format, lint, types, import rules
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

test: setup  ## all tests but the slow and the GPU ones; under 5 minutes
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(PY) -m pytest -n $(TEST_PROCESSES) --dist loadfile

bench: setup  ## measure speed on this machine, fill docs/performance.md; long
	$(PY) scripts/bench.py full --page docs/performance.md

bench-short: setup  ## two ratios of speed in three minutes; fails under what they must reach
	$(PY) scripts/bench.py short

chaos: setup  ## break the service for four minutes under load; nothing may be lost, doubled or swapped
	OMP_NUM_THREADS=1 $(PY) -m scripts.chaos --seed $${SEED:-1}

soak: setup  ## the same load without faults, for half an hour or MINUTES; nothing may leak
	OMP_NUM_THREADS=1 $(PY) -m scripts.chaos.soak --minutes $${MINUTES:-30}

quality: setup  ## what draft, standard and high cost and give, into docs/performance.md; needs flite and espeak-ng
	test -e runs/corpus/utterances.jsonl || $(PY) scripts/make_corpus.py --out runs/corpus
	$(PY) scripts/compare_quality.py checkpoints/mini --page docs/performance.md

bench-service: setup  ## what API, queue and worker cost around an engine that does nothing
	$(PY) scripts/bench_service.py

evaluate: setup  ## judge mini on held-out speech, fill docs/mini.md; fails under a figure it must reach
	test -e runs/corpus/utterances.jsonl || $(PY) scripts/make_corpus.py --out runs/corpus
	$(PY) scripts/evaluate.py checkpoints/mini --card docs/mini.md

bench-longpoll: setup  ## 1,000 long-polls on two processes: all answered, and how soon
	$(PY) -m scripts.bench_longpoll --check

fuzz: setup  ## 20,000 requests nobody meant, at the real API with a stand-in for the worker; minutes
	$(PY) scripts/fuzz.py --requests $${REQUESTS:-20000}

golden: setup  ## make the golden files again and show what changed
	$(PY) scripts/trim_fixtures.py $(FIXTURES)
	@git --no-pager diff --stat -- tests/golden

edge: setup  ## the shipped nginx.conf under Debian's nginx, in front of two API processes
	$(PY) -m pytest -q -m slow tests/operations/test_edge.py

handbook: setup  ## doctor, further workers, backup and restore of docs/operations.md, on mini
	$(PY) -m pytest -q -m slow tests/end_to_end/test_installation.py

watched: setup  ## mini and its canary under Debian's Prometheus with the shipped rules; every query must find its series
	$(PY) -m pytest -q -m slow tests/end_to_end/test_watched_mini.py

deploy: setup  ## hold Dockerfiles, compose, chart and rules to the tools that read them; needs promtool
	sh scripts/check_deploy.sh

images: setup  ## build the images, start them with the shipped docker-compose.yml, and try them; Docker, or root on Debian
	$(PY) -m scripts.images

clean:  ## remove what the tools and the demo left (keeps .venv, checkpoints and storage)
	rm -rf build demo dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
