# The names everybody knows. Each target installs what it needs by itself (see dev/toolchain/).
.PHONY: up down check test bench wheel

up down check test bench:
	@dev/toolchain/bootstrap $@

# What a release of Slipway is: the wheel, and its checksum.
wheel:
	uv build --quiet --wheel --out-dir dist
	cd dist && sha256sum *.whl > SHA256SUMS
