# Everything here also works without make: the commands are plain ones, and what takes more than one line is in .ci/run.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS  = -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

DURATION ?= 10m

.DEFAULT_GOAL = help
.PHONY: help build test race lint vuln cross fuzz mutants crash bench cover ci dist clean

help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build bin/pgwitness
	go build -o bin/ ./cmd/pgwitness

test: ## Run the tests; they start PostgreSQL servers of their own
	go test ./...

race: ## Run the tests under the race detector, as root in a read-only copy as nobody
	.ci/run race

lint: ## Run golangci-lint
	.ci/run format lint

vuln: ## Look for known vulnerabilities in what the code calls
	.ci/run vuln

cross: ## Vet and build for every platform
	.ci/run vet

fuzz: ## Fuzz every target, for a minute in all
	.ci/run fuzz

mutants: ## Plant known faults and see that the tests notice each
	go run ./scripts/mutants

crash: ## Kill, cut and restart for DURATION (10m), then compare file and table
	CRASH_DURATION=$(DURATION) .ci/run crash

bench: ## Compare with pg_recvlogical
	go run ./scripts/bench

cover: ## Write the tests' coverage to cover.out and sum it up
	go test -coverpkg ./... -coverprofile cover.out ./...
	go tool cover -func cover.out | tail -n 1

ci: ## Run every check of a merge
	.ci/run

dist: ## Build static release binaries for Linux in dist/
	for arch in amd64 arm64; do \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch go build -trimpath -ldflags '$(LDFLAGS)' -o dist/pgwitness-linux-$$arch ./cmd/pgwitness || exit 1; \
	done
	cd dist && sha256sum pgwitness-linux-* > SHA256SUMS

clean: ## Remove what was built
	rm -rf bin dist cover.out
