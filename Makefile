# Run "make help" for what there is.

BIN     := .cache/bin
LINT    := v2.15.0
PKG     ?= ./...
# Extra flags for go test, such as "make test ARGS='-run Relay -v'".
ARGS    ?=
# How long the tests of a package may take: go test's own ten minutes are little on a
# busy machine.
LIMIT   := -timeout 30m

.DEFAULT_GOAL := help
.PHONY: help build test test-race test-kafka test-interop test-faults bench demo record lint fmt stack

help: ## Show this help
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build everything, and the binary bin/omnibox
	go build ./...
	go build -trimpath -o bin/omnibox ./cmd/omnibox

# The program is built and not run by "go run", which hides exit codes and signals.
stack:
	@mkdir -p $(BIN)
	@go build -o $(BIN)/stack ./dev/cmd/stack

# The fault tests run last and alone: they promise how soon work moves on.
test: stack ## Run all tests, on one Postgres and one Temporal dev server
	@$(BIN)/stack -postgres -temporal -- sh -c '\
		rest=$$(go list $(PKG) | grep -v "/dev/faults$$"); faults=$$(go list $(PKG) | grep "/dev/faults$$"); \
		{ [ -z "$$rest" ] || go test $(LIMIT) $(ARGS) $$rest; } && { [ -z "$$faults" ] || go test $(LIMIT) $(ARGS) $$faults; }'

test-race: stack ## Run all tests with the race detector
	@$(BIN)/stack -postgres -temporal -- go test $(LIMIT) -race $(ARGS) $(PKG)

test-kafka: stack ## Run the broker suite and the end-to-end tests on a real Apache Kafka
	@$(BIN)/stack -postgres -temporal -kafka -- go test $(LIMIT) -count=1 $(ARGS) ./broker/... ./dev/...

test-interop: stack ## Exchange messages and tables with the Python library omni-box
	@$(BIN)/stack -postgres -temporal -kafka -- env OMNIBOX_TEST_INTEROP=1 go test $(LIMIT) -count=1 -v $(ARGS) ./dev/interop

test-faults: ## Kill, pause and cut everything at random, a hundred times for each lane of both boxes
	go test ./dev/faults -v -faults=100 -timeout 360m

bench: ## Measure throughput and latency
	go run ./dev/cmd/bench

demo: ## Show omnibox at work, from nothing to a replayed dead letter
	@go build -o $(BIN)/demo ./dev/cmd/demo && $(BIN)/demo $(ARGS)

record: ## Record workflow histories that are not there yet, for the replay tests
	go run ./dev/cmd/record

lint: $(BIN)/golangci-lint-$(LINT) ## Check style, import rules and determinism
	$(BIN)/golangci-lint-$(LINT) run
	go vet ./...
	go tool workflowcheck ./workflows/...

fmt: $(BIN)/golangci-lint-$(LINT) ## Format all files
	$(BIN)/golangci-lint-$(LINT) fmt

$(BIN)/golangci-lint-$(LINT):
	GOBIN=$(abspath $(BIN)) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT)
	mv $(BIN)/golangci-lint $@
