module slipway/toolchain/traefik/fetched

go 1.24.0

require (
	github.com/go-acme/lego/v4 v4.28.0
	github.com/traefik/traefik/v3 v3.6.0
)
