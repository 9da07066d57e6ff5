# The names everybody knows. Each target installs what it needs by itself (see dev/toolchain/).
.PHONY: up down check test bench

up down check test bench:
	@dev/toolchain/bootstrap $@
