# The commands of a working copy. `make test` is what CI runs; each of its steps is a target too.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
LOGS := $(TARGET)/test-logs
STEPS := tools fmt clippy rust build simulation autobahn browser openfeature chart proto

.PHONY: help dev test lint bench chaos fuzz sim docs deny image k8s kind $(STEPS)

help:
	@echo 'make dev     run a whole cluster here, with ten demo auctions'
	@echo 'make test    install what the tests need, then check and test everything'
	@echo 'make docs    write anew what docs/ and helm/README.md take from the code'
	@echo 'make lint    only the checks that run nothing: fmt clippy proto'
	@echo 'make bench   measure what docs/performance.md holds; FIGURES="memory fanout ack moves attacks flags" chooses'
	@echo 'make chaos   faults under load, as docs/reliability.md tells; RUNS=20 SCENARIOS="owner-killed" choose; needs root'
	@echo 'make fuzz    60 s for each of tests/fuzz; FUZZ_SECONDS=600 TARGETS="frame wire" choose; needs a C++ compiler'
	@echo 'make sim     a whole cluster from a seed; SEEDS=10000 FIRST=0 choose, or SEED=58 TRACE=gavel=info'
	@echo 'make image   target/gavel-image.tar, without Docker; for docker load, ctr images import, kind load image-archive'
	@echo 'make k8s     install the chart on a real API server, which is built once: 15 minutes, and Go 1.26'
	@echo 'make kind    install the chart on a cluster of kind and run its test; needs docker, kind, kubectl and helm'
	@echo 'make deny    what came in as dependencies: bans, licences, sources; needs cargo-deny'
	@echo 'Steps of make test, each by itself: $(STEPS)'

dev:
	cargo run --release --locked -- dev $(ARGS)

# Needs redis-server for the last two figures, and a machine that does little else.
bench:
	cargo bench --locked -p gavel --bench figures -- $(FIGURES)

# Needs redis-server, and for its partitions root, ip and nft.
chaos: RUNS ?= 20
chaos:
	cargo bench --locked -p gavel --bench chaos -- $(RUNS) $(SCENARIOS)

fuzz:
	FUZZ_SECONDS='$(or $(FUZZ_SECONDS),60)' tests/fuzz/run.sh $(TARGETS)
# A cluster in one thread, see tests/sim. Everything is built apart, since the network is another
# one; optimised a little, for a seed then takes a tenth of the time.
SIMULATED := --locked -p gavel-sim --target-dir '$(TARGET)/sim' \
    --config 'build.rustflags=["--cfg","gavel_sim"]' --config profile.dev.opt-level=1
sim: SEEDS ?= 200
sim: FIRST ?= 0
sim: TRACE ?= gavel=info
sim:
	cargo run $(SIMULATED) -- $(if $(SEED),--seed $(SEED) --trace '$(TRACE)',--first $(FIRST) --seeds $(SEEDS))

lint: tools fmt clippy proto

docs: tools build
	cargo run --locked -p gavel-tests --example docs
	tests/chart/check.sh --write

# The image of the Dockerfile, with the libraries of this machine.
image:
	cargo build --release --locked -p gavel
	python3 tests/chart/image.py '$(TARGET)/release/gavel' '$(TARGET)/gavel-image.tar' gavel:0.1.0
	@ls -l '$(TARGET)/gavel-image.tar'

k8s: tools
	tests/chart/cluster.sh

kind: image
	kind get clusters | grep -qx gavel || kind create cluster --name gavel
	kind load image-archive '$(TARGET)/gavel-image.tar' --name gavel
	helm upgrade --install demo ./helm --kube-context kind-gavel -f helm/values-dev.yaml --wait --timeout 5m
	helm test demo --kube-context kind-gavel --logs

# Advisories need their database from the network, and are left to whoever has one.
deny:
	cargo deny --offline --config .deny.toml check bans licenses sources

# === The steps of `make test` ===

tools:
	tests/tools.sh

fmt:
	cargo fmt --all --check

clippy:
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy -p gavel-fuzz --features engine --locked -- -D warnings

rust:
	cargo test --workspace --locked --no-fail-fast

build:
	cargo build --locked

simulation:
	cargo clippy $(SIMULATED) --all-targets -- -D warnings
	cargo test $(SIMULATED)
	python3 tests/sim/mutants.py cargo build $(SIMULATED)

autobahn:
	tests/autobahn.sh

browser:
	GAVEL_BIN='$(TARGET)/debug/gavel' node --test tests/browser/*.test.mjs

openfeature:
	GAVEL_BIN='$(TARGET)/debug/gavel' node --test tests/openfeature/*.test.mjs

chart:
	GAVEL_BIN='$(TARGET)/debug/gavel' tests/chart/check.sh

proto:
	tests/node_modules/.bin/buf lint proto

# === All of them ===

# What the runners print at their ends: cargo, then autobahn and chart, then node.
define COUNT
/^test result: /                { passed += $$4; failed += $$6 }
/[0-9]+ passed, [0-9]+ failed$$/ { passed += $$(NF - 3); failed += $$(NF - 1) }
/^[^ ]+ pass [0-9]+$$/           { passed += $$3 }
/^[^ ]+ fail [0-9]+$$/           { failed += $$3 }
END                             { printf "%d passed, %d failed", passed, failed }
endef
export COUNT

# A failed step does not keep the later ones from telling what they found; without tools none can.
test:
	@rm -rf '$(LOGS)'; mkdir -p '$(LOGS)'; broken=''; \
	for step in $(STEPS); do \
	    printf '\n=== %s ===\n' "$$step"; began=$$SECONDS; \
	    if $(MAKE) --no-print-directory "$$step" < /dev/null 2>&1 | tee "$(LOGS)/$$step.log"; then \
	        echo "=== $$step: ok, $$((SECONDS - began)) s"; \
	    else \
	        echo "=== $$step: FAILED, $$((SECONDS - began)) s"; broken="$$broken $$step"; \
	        if [ "$$step" = tools ]; then break; fi; \
	    fi; \
	done; \
	printf '\n%s' "$$(cat '$(LOGS)'/*.log | awk "$$COUNT")"; \
	if [ -n "$$broken" ]; then echo "; failed steps:$$broken"; exit 1; fi; \
	echo '; every step is ok'
