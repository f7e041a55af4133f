# Cardea. `make` builds into build/, `make SAN=address,undefined` into build-address-undefined/, and so on.
#   CC=clang  another compiler (its own folder too)      SAN=...  sanitizers      O=folder  another build folder
CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
PYTHON ?= /usr/bin/python3
PREFIX ?= /usr/local
comma := ,
flavour := $(if $(SAN),-$(subst $(comma),-,$(SAN)))$(if $(findstring clang,$(CC)),-clang)
O ?= build$(flavour)

PACKAGES := libuv openssl libnghttp2 jansson liburcu-qsbr liburcu-cds libcurl libpq libprotobuf-c libpcre2-8 yaml-0.1 libcares libpsl ldns
ifneq ($(MAKECMDGOALS),clean)
PKG_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
endif
WARN := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual -Wvla \
	-Wformat=2 -Wimplicit-fallthrough -fno-common -Werror
HARDEN := -fstack-protector-strong -fPIE -D_FORTIFY_SOURCE=2
# Line numbers are all that a sanitizer's report needs, and the tests' many programs link in a third of the time.
DEBUG := -g
ifneq ($(SAN),)
DEBUG := -g1
SANFLAGS := -fsanitize=$(SAN) -fno-omit-frame-pointer $(if $(findstring undefined,$(SAN)),-fno-sanitize-recover=undefined)
HARDEN := -fPIE
endif
VERSION := 0.1.0
OPT ?= -O2
CFLAGS_ALL := -std=c11 -D_GNU_SOURCE -DCARDEA_VERSION='"$(VERSION)"' $(OPT) $(DEBUG) -I. -I$(O)/gen $(WARN) $(HARDEN) $(SANFLAGS) \
	$(PKG_CFLAGS) -include common/core/banned.h $(CFLAGS)
# Two hundred programs of tests: minutes less.
FAST_LINK := $(if $(and $(SAN),$(findstring clang,$(CC)),$(shell command -v ld.lld)),-fuse-ld=lld)
LDFLAGS_ALL := -pie -Wl,-z,relro,-z,now $(SANFLAGS) $(FAST_LINK) $(LDFLAGS)
# Unit tests make the n-th allocation of our code fail (tests/unit/lib/oom.h); lld takes what wraps from the library only if asked to.
OOM := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--undefined=__wrap_malloc
LIBS_COMMON := -luv -lssl -lcrypto -lnghttp2 -ljansson -lprotobuf-c -lpthread -lm
LIBS_CP := -lpq -lresolv -lldns -lcurl -lpsl -lpcre2-8 -lyaml $(LIBS_COMMON)
LIBS_DP := -lurcu-qsbr -lurcu-cds -lurcu-common -lpcre2-8 -lcares $(LIBS_COMMON)

obj = $(patsubst %.c,$(O)/obj/%.o,$(1))
COMMON_SRC := $(wildcard common/*/*.c)
CP_SRC := $(wildcard control-plane/model/*.c control-plane/store/*.c control-plane/bulk/*.c control-plane/admin/*.c control-plane/acme/*.c control-plane/fleet/*.c) \
	$(filter-out control-plane/main.c,$(wildcard control-plane/*.c))
DP_SRC := $(wildcard data-plane/sync/*.c data-plane/tables/*.c data-plane/tls/*.c data-plane/proxy/*.c data-plane/plugins/*.c) $(filter-out data-plane/main.c,$(wildcard data-plane/*.c))
CLI_SRC := $(filter-out control-plane/cli/main.c,$(wildcard control-plane/cli/*.c))
GEN_H := $(O)/gen/cardea/v1/fleet.pb-c.h
GEN_O := $(O)/gen/cardea/v1/fleet.pb-c.o
UNIT := $(patsubst tests/unit/%.c,$(O)/unit/%,$(wildcard tests/unit/*/test_*.c))
FUZZ := $(patsubst tests/fuzz/%.c,$(O)/fuzz/%,$(wildcard tests/fuzz/*/fuzz_*.c))
MAN := $(patsubst deploy/man/%.in,$(O)/man/%,$(wildcard deploy/man/*.in))
# A stand-in ACME authority, for tests and measurements.
ACME_CA := $(O)/ca/acme-ca
BENCH := $(patsubst tests/bench/%.c,$(O)/bench/%,$(wildcard tests/bench/*.c))

.PHONY: flags generated all demo demo-down test unit unit-thread lint format fuzz fuzz-targets bench compose-test grade install man clean
.SECONDARY:
all: $(O)/cardea-cp $(O)/cardea-dp $(O)/cardea

$(O)/cardea-cp: $(call obj,control-plane/main.c) $(O)/libcp.a $(O)/libcommon.a
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_CP)
$(O)/cardea-dp: $(call obj,data-plane/main.c) $(O)/libdp.a $(O)/libcommon.a
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_DP)
$(O)/cardea: $(call obj,control-plane/cli/main.c) $(O)/libcli.a $(O)/libcp.a $(O)/libcommon.a
	$(CC) $(LDFLAGS_ALL) -Wl,--as-needed -o $@ $^ $(LIBS_CP)

$(O)/libcommon.a: $(call obj,$(COMMON_SRC)) $(GEN_O)
$(O)/libcp.a: $(call obj,$(CP_SRC))
$(O)/libcli.a: $(call obj,$(CLI_SRC))
$(O)/libdp.a: $(call obj,$(DP_SRC))
# A test takes what it uses, and so what it can be linked with.
$(O)/libunit.a: $(call obj,$(wildcard tests/unit/lib/*.c))
$(O)/%.a:
	@rm -f $@
	$(AR) rcs $@ $^

# Generated code has its own warnings.
$(O)/gen/%.pb-c.c $(O)/gen/%.pb-c.h: proto/%.proto
	@mkdir -p $(@D)
	protoc --proto_path=proto --c_out=$(O)/gen $<
$(GEN_O): $(GEN_H:.h=.c)
	$(CC) -std=c11 -O2 -g -fPIE $(SANFLAGS) -I$(O)/gen -c -o $@ $<
# SQL migrations are compiled in, so that a control plane needs no files at run time.
$(O)/gen/migrations.inc: $(sort $(wildcard control-plane/store/migrations/*.sql)) control-plane/store/embed-migrations
	@mkdir -p $(@D)
	control-plane/store/embed-migrations $(filter %.sql,$^) > $@

$(O)/obj/%.o: %.c | $(GEN_H) $(O)/gen/migrations.inc
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(O)/unit/common/%: $(O)/obj/tests/unit/common/%.o $(O)/libunit.a $(O)/libcommon.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) $(OOM) -o $@ -Wl,--start-group $^ -Wl,--end-group -lcmocka $(LIBS_COMMON)
$(O)/unit/control-plane/%: $(O)/obj/tests/unit/control-plane/%.o $(O)/libunit.a $(O)/libcli.a $(O)/libcp.a $(O)/libcommon.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) $(OOM) -o $@ -Wl,--start-group $^ -Wl,--end-group -lcmocka $(LIBS_CP)
$(O)/unit/data-plane/%: $(O)/obj/tests/unit/data-plane/%.o $(O)/libunit.a $(O)/libdp.a $(O)/libcommon.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) $(OOM) -o $@ -Wl,--start-group $^ -Wl,--end-group -lcmocka $(LIBS_DP)
$(O)/fuzz/common/%: $(O)/obj/tests/fuzz/common/%.o $(O)/libcommon.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $^ $(LIBS_COMMON)
$(O)/fuzz/%: $(O)/obj/tests/fuzz/%.o $(O)/libcp.a $(O)/libdp.a $(O)/libcommon.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $^ $(LIBS_CP) $(LIBS_DP)
$(O)/bench/%: $(O)/obj/tests/bench/%.o $(O)/libcommon.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_COMMON)

$(ACME_CA): $(call obj,$(wildcard tests/ca/*.c)) $(O)/libcommon.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_COMMON)

unit: $(UNIT)
	tests/unit/run $(UNIT)
UNIT_THREAD := $(filter %/test_loop %/test_conn %/test_metrics,$(UNIT)) $(filter $(O)/unit/data-plane/%,$(UNIT))
unit-thread: $(UNIT_THREAD)
	tests/unit/run $(UNIT_THREAD)
test:
	tests/run
lint:
	tests/lint/run
# For tools: the compiler flags, and the generated sources they need.
flags:
	@:$(info $(CFLAGS_ALL))
generated: $(GEN_H) $(O)/gen/migrations.inc
format:
	clang-format -i $$(git ls-files '*.c' '*.h')
fuzz:
	tests/fuzz/run
# What tests/fuzz/run runs, built with clang.
fuzz-targets: $(FUZZ)
bench:
	deploy/dev/install-deps bench
	tests/bench/run
grade: all
	deploy/dev/install-deps
	TESTSSL=1 BUILD_FOLDER=$(abspath $(O)) $(PYTHON) -m pytest -q -p no:cacheprovider tests/integration/test_testssl.py
compose-test:
	tests/compose/run
demo:
	deploy/dev/demo
demo-down:
	deploy/dev/demo-down
install: all man
	install -D -t $(DESTDIR)$(PREFIX)/bin $(O)/cardea-cp $(O)/cardea-dp $(O)/cardea
	for page in $(MAN); do install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man$${page##*.} $$page || exit 1; done
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions
	$(O)/cardea completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/cardea
	$(O)/cardea completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_cardea
# The lists in them come from the programs.
man: $(MAN)
$(O)/man/%: deploy/man/%.in deploy/man/render $(O)/cardea-cp $(O)/cardea-dp $(O)/cardea
	@mkdir -p $(@D)
	deploy/man/render $< $(O) > $@.new
	@mv $@.new $@
clean:
	rm -rf build build-*

-include $(shell find $(O) -name '*.d' 2>/dev/null)
