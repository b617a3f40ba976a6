# Midwatch. `make help` lists the targets.

GO      ?= go
BIN     := bin/midwatch
DEMO    := testdata/demo
CONTEXT := testdata/demo-context
# The demo's log folder has broken records on purpose, so that the exit status
# is 3 (done, but the input was incomplete); 1 means findings.
DEMO_OK := 0 1 3

.PHONY: help build demo test bench fuzz lint golden clean eval

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

build: ## build bin/midwatch
	@$(GO) build -o $(BIN) ./cmd/midwatch

demo: build ## investigate the demo's logs, print the verdict, write demo.case/report.html
	@rm -rf demo.case
	@$(BIN) investigate $(DEMO) --asn $(CONTEXT)/asn.csv --directory $(CONTEXT)/directory.csv --out demo.case; \
	  code=$$?; case " $(DEMO_OK) " in *" $$code "*) exit 0;; *) exit $$code;; esac

test: ## run every test
	$(GO) vet ./...
	$(GO) test -timeout 15m ./...

bench: build ## measure ingest against DuckDB's own, in one run (BENCH_SIZE=1GB BENCH_RUNS=5)
	$(GO) run ./internal/bench -size $(or $(BENCH_SIZE),1GB) -runs $(or $(BENCH_RUNS),5) -corpora "$${MIDWATCH_CORPORA:-../shared/corpora}"

eval: build ## measure on simulated tenants against their answer keys (EVAL=small EVAL_SEEDS=5 EVAL_USERS=300)
	@$(GO) run ./internal/eval -grid $(or $(EVAL),large) -seeds $(or $(EVAL_SEEDS),0) -users $(or $(EVAL_USERS),0) -revision "$$(git describe --always --dirty)"

fuzz: ## fuzz every parser for FUZZTIME (default 30s) each
	@for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(or $(FUZZTIME),30s) $$pkg || exit 1; \
	  done; done

lint: ## gofmt, vet, staticcheck, govulncheck, go mod tidy
	@.ci/lint

golden: ## write the golden files again; look at the diff before committing it
	$(GO) test ./parse ./report ./ingest ./cmd/midwatch -update

clean: ## remove what was built
	rm -rf bin demo.case
