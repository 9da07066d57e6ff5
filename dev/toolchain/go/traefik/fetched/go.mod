module slipway/toolchain/traefik/fetched

go 1.26.0

require (
	github.com/go-acme/lego/v5 v5.4.1
	github.com/traefik/traefik/v3 v3.7.13
)
