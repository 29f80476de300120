# One way to run everything. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help

target := x86_64-unknown-linux-gnu
# Crash points exist only in builds that ask for them; tests ask.
crash  := --features cartridge-agent/failpoints,cartridge-orchestrator/failpoints

.PHONY: help demo test bench check soak fuzz build at-rest hello clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

demo: ## the whole loop on this machine, narrated; CHECK=1 ends with a verdict
	@tests/install demo
	cargo build --quiet --profile quick --bins
	target/$(target)/quick/cartridge-demo

test: ## install what is missing, then every test
	@tests/install test
	cargo build --workspace --bins --examples $(crash)
	cargo test --workspace --no-fail-fast $(crash)
	cargo test --profile quick -p cartridge-orchestrator-plan --features planted-bugs --test planted

bench: ## every figure we claim, each beside its peer
	@tests/install bench
	cargo build --release --bins
	target/$(target)/release/cartridge-bench
	@echo; echo "The same on the shelf alone: a poll that finds nothing, and the parts of a release"
	@cargo run --quiet --profile quick -p cartridge-agent --example release_bench
	@echo; echo "The simulator of the orchestrator, per core"
	@cargo run --quiet --profile quick -p cartridge-orchestrator-plan --example simulator_bench
	@echo; echo "100,000 members in 1,000 clusters that report each five seconds: the engine alone"
	@cargo run --quiet --profile quick -p cartridge-orchestrator --example fleet

check: ## format, lints, licences and bans, documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets $(crash) -- -D warnings
	@tests/install check
	cargo deny --offline check bans licenses sources
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

# How long each target is tried.
seconds ?= 60

fuzz: ## look for inputs that break a decoder; seconds=60 for each
	@tests/install fuzz
	fuzz/run $(seconds)

soak: ## the simulator, many more seeds
	CARTRIDGE_SEEDS=10000 cargo test --profile quick -p cartridge-orchestrator-plan --test simulation -- --nocapture

build: ## what is shipped: static, small
	cargo build --release --bins
	@ls -l target/$(target)/release/cartridge target/$(target)/release/cartridge-agent target/$(target)/release/cartridge-plugin-balancer

# A binary that still has its names, linked by the list that there is.
named := target/named
at-rest: ## look anew at what an agent at rest runs, which its build lays together
	CARGO_PROFILE_RELEASE_STRIP=none cargo build --release --bins --target-dir $(named)
	$(named)/$(target)/release/cartridge-at-rest > $(named)/at_rest.names
	mv $(named)/at_rest.names agent/at_rest.names

# Which build the example runs: release or quick.
from ?= release

hello: ## an example to apply: target/hello, with a blueprint and a Git repository
	@images/hello/prepare target/$(target)/$(from) target/hello

clean: ## forget everything that was built
	cargo clean
