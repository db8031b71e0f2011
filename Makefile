# Everything here also works without make: the commands are plain ones, and what takes more than one line is in .ci/run.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
IMAGE   ?= pgwitness
OUTPUT  ?= type=oci,dest=bin/image.tar

DURATION ?= 10m

.DEFAULT_GOAL = help
.PHONY: help build test race lint vuln cross fuzz mutants crash alerts deploy apiserver bench cover ci units release image clean

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

alerts: ## Make alerts fire in a real Prometheus, and see them resolved
	.ci/run alerts

deploy: ## Hold chart, manifests, rules and dashboard against Kubernetes' types, Prometheus's parser and the binary
	.ci/run deploy

apiserver: ## Build a Kubernetes API server, and apply the chart to it
	.ci/run apiserver

bench: ## Compare with pg_recvlogical
	go run ./scripts/bench

cover: ## Write the tests' coverage to cover.out and sum it up
	go test -coverpkg ./... -coverprofile cover.out ./...
	go tool cover -func cover.out | tail -n 1

ci: ## Run every check of a merge
	.ci/run

units: ## Install the package under a systemd of its own, as root, and live through what a unit lives through
	.ci/run units

release: ## Build what is published of HEAD in dist/: archives, deb, rpm, SBOMs, provenance, sums
	rm -rf dist
	go run ./scripts/release -out dist

image: ## Build the image with Docker, for OUTPUT (an OCI archive in bin/)
	mkdir -p bin
	SOURCE_DATE_EPOCH=$(shell git show --no-patch --format=%ct HEAD) docker buildx build --file deploy/Dockerfile \
		--platform linux/amd64,linux/arm64 --provenance mode=max --sbom true \
		--build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) --tag $(IMAGE):$(VERSION) --output $(OUTPUT) .

clean: ## Remove what was built
	rm -rf bin dist cover.out
