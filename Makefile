# The commands of a developer and of CI. `make help` lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Nothing here may change Cargo.lock behind one's back.
CARGO_FLAGS := --locked
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))

# Pure crates see no socket, disk, clock, thread or randomness: the same code runs in tests and in production.
PURE := simpledynamo-ring simpledynamo-topology simpledynamo-chain simpledynamo-verify simpledynamo-sim
IMPURE := tokio|mio|fjall|rand|rand_core|getrandom|socket2|rustix

.PHONY: help verify fix build test unit doctest counts fresh sim sabotaged e2e bench nightly fuzz

help: ## Lists these commands
	@grep -E '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9]+):[^#]*## /\1\t/' | expand -t 12

verify: ## Checks format, lints, documentation and dependencies; changes nothing
	cargo fmt --all --check
	cargo fmt --manifest-path benches/compare/Cargo.toml --check
	cargo clippy $(CARGO_FLAGS) --workspace --all-targets -- -D warnings
	cargo clippy $(CARGO_FLAGS) --package simpledynamo-cli --features sabotage --lib --bin simpledynamo-sabotaged -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc $(CARGO_FLAGS) --workspace --no-deps --quiet
	@for crate in $(PURE); do \
		tree=$$(cargo tree $(CARGO_FLAGS) -e normal --prefix none -p $$crate); \
		if grep -E '^($(IMPURE)) ' <<< "$$tree"; then \
			echo "$$crate is pure and must not depend on the above (cargo tree -e normal -p $$crate)"; exit 1; \
		fi; \
	done; echo "pure crates reach no runtime, disk or randomness"
	@for package in fuzz benches/compare; do \
		cargo update --quiet --workspace --locked --manifest-path $$package/Cargo.toml \
			|| { echo "$$package/Cargo.lock lacks a dependency: cargo update --workspace --manifest-path $$package/Cargo.toml"; exit 1; }; \
	done
	@if command -v cargo-deny > /dev/null; then cargo deny --workspace check; \
		else echo "cargo-deny is not installed: licences and advisories are not checked"; fi

fix: ## Formats, and applies what clippy can correct by itself
	cargo fmt --all
	cargo fmt --manifest-path benches/compare/Cargo.toml
	cargo clippy $(CARGO_FLAGS) --workspace --all-targets --fix --allow-dirty --allow-staged

# One set of features for everything, so that no crate is compiled twice.
build:
	cargo build $(CARGO_FLAGS) --workspace --bins --lib --tests

test: verify ## Does everything: verify, unit tests, counted instructions, documentation tests, fresh seeds, end-to-end tests
	$(MAKE) --no-print-directory build
	$(MAKE) --no-print-directory unit
	$(MAKE) --no-print-directory counts
	$(MAKE) --no-print-directory doctest
	$(MAKE) --no-print-directory fresh
	$(MAKE) --no-print-directory e2e

unit: ## Tests of the crates, by cargo-nextest if it is installed
	@if command -v cargo-nextest > /dev/null; then cargo nextest run $(CARGO_FLAGS) --workspace; \
		else cargo test $(CARGO_FLAGS) --workspace --lib --bins --tests; fi

doctest: ## Tests in the documentation of the crates
	cargo test $(CARGO_FLAGS) --workspace --doc

counts: ## Counts the instructions of single steps, and compares with what was recorded; RECORD=1 records them
	benches/micro/counts $(if $(RECORD),record,check) $(CASES)

fresh: ## Simulates seeds that were never run before, for SIM_SECONDS=180, in the build that the tests use
	SIM_SECONDS=$(or $(SIM_SECONDS),180) cargo test $(CARGO_FLAGS) --quiet --package simpledynamo-sim \
		--test simulator fresh_seeds_hold -- --nocapture

# Other seeds each time, unless FROM says where to begin.
SEEDS := 20000
FROM := $(shell date +%s)000

sim: ## Simulates the whole ring through SEEDS=20000 seeds from FROM=; a failure prints the command that replays it
	cargo run $(CARGO_FLAGS) --release --quiet --package simpledynamo-sim -- --seeds $(SEEDS) --from $(FROM)

e2e: build sabotaged ## End-to-end tests of the binary; ARGS="-k durability" chooses some
	SIMPLEDYNAMO_BIN=$(TARGET)/debug/simpledynamo SIMPLEDYNAMO_SABOTAGED=$(TARGET)/debug/simpledynamo-sabotaged \
		tests/run $(ARGS)

# The program with safeguards that can be left out: tests of verify must see it fail.
sabotaged:
	cargo build $(CARGO_FLAGS) --package simpledynamo-cli --features sabotage --bin simpledynamo-sabotaged

bench: ## Measures a throw-away ring beside a five-node etcd and redis-servers, which it installs; ARGS="--runs 1"
	benches/compare/run $(ARGS)

nightly: ## Runs verify with drawn seeds for NIGHTLY_SECONDS=3600, and keeps the reports of runs that found something
	cargo build $(CARGO_FLAGS) --release --package simpledynamo-cli
	tests/nightly $(or $(NIGHTLY_SECONDS),3600)

# The flags that a fuzzer is built with are unstable. A nightly compiler takes them; a stable one does when it is told
# that it bootstraps. What is new and worth keeping goes to fuzz/found, not into the corpus of the repository.
fuzz: ## Fuzzes each target of fuzz/, or TARGETS="peer_frame ...", for FUZZ_SECONDS=60; needs cargo-fuzz (fuzz/README.md)
	@command -v cargo-fuzz > /dev/null || { echo "cargo-fuzz is not installed: cargo install cargo-fuzz"; exit 1; }
	@if cargo +nightly --version &> /dev/null; then cargo="cargo +nightly"; else cargo=cargo; export RUSTC_BOOTSTRAP=1; fi; \
	for target in $(or $(TARGETS),$$($$cargo fuzz list)); do \
		mkdir -p fuzz/found/$$target; \
		dictionary=fuzz/dictionaries/$$target; [[ -e $$dictionary ]] && options=-dict=$$dictionary || options=; \
		$$cargo fuzz run $$target fuzz/found/$$target fuzz/corpus/$$target -- \
			-max_total_time=$(or $(FUZZ_SECONDS),60) -timeout=10 $$options; \
	done
