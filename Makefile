# Gesta needs Go, git and make. `make help` lists the targets.

VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS   := -s -w -X main.version=$(VERSION)
FUZZTIME  ?= 30s
SOAK      ?= 1h
DURATION  ?= 10m
SEED      ?= 0
BENCH     ?=
COUNT     ?= 1
PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64

# Packages in which one goroutine does everything: the race detector would only slow them down. All others run under it.
SINGLE := /api/|/examples/|/internal/(demo|errs|event|floors|inspect|limits|sim|vfs/crashfs)$$

# The race detector needs a C compiler. On a machine without one the same tests run without it, and say so.
HAVE_CC := $(shell command -v "$$(go env CC | cut -d' ' -f1)" 2>/dev/null)
RACE    := $(if $(HAVE_CC),-race)

TOOLS := bin/tools/buf
BUF   := PATH="$(CURDIR)/bin/tools:$$PATH" bin/tools/buf

.DEFAULT_GOAL := help
.PHONY: help build demo test lint unit deploy soak generate baseline release bench fuzz soak-hostile clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/gesta
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/gesta

demo: build ## a node, a real history imported, folded and asked about its past (ARGS=--exit ends it)
	@bin/gesta demo $(ARGS)

test: lint unit deploy ## everything that needs no outside service: lint, unit, deploy

lint: $(TOOLS) ## formatting, vet, staticcheck, go.mod, generated code, the protocol
	@unformatted=$$(gofmt -l .); \
	  if [ -n "$$unformatted" ]; then echo "run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	go mod tidy -diff
	go vet ./...
	GOOS=darwin go vet ./internal/vfs
	GOOS=windows go vet ./internal/vfs
	bin/tools/staticcheck ./...
	$(BUF) lint
	$(BUF) breaking --against api/baseline.binpb
	@rm -rf bin/generated && mkdir -p bin/generated && $(BUF) generate -o bin/generated
	@for f in $$(cd bin/generated && find . -name '*.go') $$(git ls-files 'api/*.pb.go'); do \
	  cmp -s "bin/generated/$$f" "$$f" || { echo "$$f is not what the .proto files generate: run make generate"; exit 1; }; done
	@rm -rf bin/generated # it would be a package of the module

unit: ## the tests, under the race detector where there is concurrency
	@[ -n "$(RACE)" ] || echo "NOTE: there is no C compiler here, so the tests run without the race detector" >&2
	@failed=0; \
	  go test $$(go list ./... | grep -E '$(SINGLE)') || failed=1; \
	  $(if $(RACE),CGO_ENABLED=1) go test $(RACE) $$(go list ./... | grep -vE '$(SINGLE)') || failed=1; \
	  exit $$failed

# Its tests are a module of their own, and a large one: where the modules cannot be had, that is said and the rest still counts.
deploy: ## chart, image and compose file against Helm, Kubernetes, compose and the product
	@if why=$$(go list -C deploy -deps -test ./... 2>&1 >/dev/null); then go vet -C deploy ./... && go test -C deploy -count=1 ./...; \
	  else echo "NOTE: deploy/ is not tested, since the modules of its tests cannot be had: $$why" >&2; fi

soak: ## play simulated worlds from ever new seeds for SOAK (1h); a failing seed says how it is played again
	go test ./internal/sim -run '^TestSoak$$' -soak $(SOAK) -timeout 0 -v

generate: $(TOOLS) ## generate the code of the .proto files
	$(BUF) generate

baseline: $(TOOLS) ## at a release: keep the protocol that later versions are checked against
	$(BUF) build --exclude-source-info -o api/baseline.binpb

soak-hostile: ## kill, freeze and cut off real nodes for DURATION (10m), as SEED says; needs root
	CGO_ENABLED=0 go test -count=1 -v -timeout 0 -run TestSoak ./internal/hostile -soak $(DURATION) -seed $(SEED)

release: ## cross-compile into dist/, with checksums
	rm -rf dist && mkdir dist
	@set -e; for p in $(PLATFORMS); do os=$${p%/*}; arch=$${p#*/}; exe=; [ $$os = windows ] && exe=.exe; \
	  out=dist/gesta-$(VERSION)-$$os-$$arch$$exe; echo $$out; \
	  CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch go build -trimpath -ldflags '$(LDFLAGS)' -o $$out ./cmd/gesta; done
	cd dist && { sha256sum gesta-* 2>/dev/null || shasum -a 256 gesta-*; } > SHA256SUMS

bench: build ## measure against the bars and beside other databases (ARGS=--quick: a smoke run); BENCH=regexp COUNT=n: the packages' own benchmarks
ifeq ($(BENCH),)
	@bench/run $(ARGS)
else
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) ./...
endif

fuzz: ## run every fuzz target for FUZZTIME (30s)
	@set -e; for pkg in $$(go list -f '{{.Dir}}' ./...); do grep -qs '^func Fuzz' $$pkg/*_test.go || continue; \
	  for f in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do echo "$$pkg $$f"; \
	    go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$pkg; done; done

clean: ## remove what was built
	rm -rf bin dist

$(TOOLS): tools/go.mod tools/go.sum
	go build -C tools -o ../bin/tools/ tool
	@touch $(TOOLS)
