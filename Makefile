# Midwatch. `make help` lists the targets.

GO      ?= go
BIN     := bin/midwatch
# The demo: an organization of 1,000 people over 60 days, made up, with the
# incident in it and its answer key (1 GB of logs in demo.logs).
DEMO_USERS := 1000
DEMO_DAYS  := 60

.PHONY: help build static demo screenshots test test-deps clickhouse bench fuzz lint golden clean eval

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

build: ## build bin/midwatch
	@$(GO) build -o $(BIN) ./cmd/midwatch

static: ## build bin/midwatch-static, which needs nothing of the machine that it runs on (Linux, glibc to build)
	@$(GO) build -tags netgo,osusergo -ldflags '-s -w -linkmode external -extldflags "-static"' -o $(BIN)-static ./cmd/midwatch

demo: build ## make up an organization with the incident in it, investigate it, score the verdict
	@rm -rf demo.logs demo.case
	@$(BIN) simulate --quiet --scenario midnight --users $(DEMO_USERS) --days $(DEMO_DAYS) --seed 7 --out demo.logs
	@$(BIN) investigate demo.logs/logs --asn demo.logs/context/asn.csv --directory demo.logs/context/directory.csv --out demo.case; \
	  code=$$?; [ $$code = 1 ] || { echo "demo: exit status $$code, want 1 (findings)"; exit 1; }
	@echo; $(BIN) score --truth demo.logs/context/truth.json --case demo.case/case.json
	@printf '\nCase:    demo.case\nReport:  demo.case/report.html\nBrowser: $(BIN) serve demo.case\n'

screenshots: build ## take pictures of every page of the interface, for docs/WEB.md
	@rm -rf shots.tmp
	@$(BIN) simulate --quiet --scenario midnight --users $(DEMO_USERS) --days $(DEMO_DAYS) --seed 7 --mail --out shots.tmp/logs >/dev/null
	@$(BIN) investigate shots.tmp/logs/logs --asn shots.tmp/logs/context/asn.csv --directory shots.tmp/logs/context/directory.csv --out shots.tmp/demo.case >/dev/null; [ $$? = 1 ]
	@$(BIN) exposure shots.tmp/demo.case --mail shots.tmp/logs/mail --directory shots.tmp/logs/context/directory.csv >/dev/null; [ $$? = 1 ] || [ $$? = 3 ]
	@$(BIN) notify templates shots.tmp/templates >/dev/null
	@$(BIN) notify shots.tmp/demo.case --contact shots.tmp/templates/contact.yaml >/dev/null; [ $$? = 1 ]
	@$(GO) run ./internal/browsertest/screenshots -bin $(BIN) -case shots.tmp/demo.case -out docs/screenshots
	@rm -rf shots.tmp

test: ## run every test
	@$(MAKE) --no-print-directory test-deps || [ -z "$$CI" ] # without them its tests are skipped, in CI they fail
	$(GO) vet ./...
	$(GO) test -timeout 24m ./...

test-deps: ## fetch what the tests need beside Go modules (a ClickHouse engine, 570 MB, a Kafka broker, 60 MB, and schemas of reports, 11 MB, once)
	@$(GO) run ./internal/clickhousetest/testdeps

clickhouse: test-deps ## two ClickHouse servers to try things on, until interrupted
	@$(GO) run ./internal/clickhousetest/up

bench: ## measure both stores, in one run (BENCH="ingest disk shards growth web" BENCH_SIZE=1GB BENCH_RUNS=5)
	@$(MAKE) --no-print-directory test-deps || true # without the engine ClickHouse is left out
	$(GO) run ./internal/bench -size $(or $(BENCH_SIZE),1GB) -runs $(or $(BENCH_RUNS),5) -corpora "$${MIDWATCH_CORPORA:-../shared/corpora}" $(BENCH)

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
	$(GO) test ./parse ./casefile ./report ./ingest ./exposure ./posture ./respond ./respond/clock ./cmd/midwatch -update

clean: ## remove what was built
	rm -rf bin demo.case demo.logs eval.out
