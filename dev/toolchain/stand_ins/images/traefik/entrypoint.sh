#!/bin/sh
# Options alone, or a command of Traefik's, mean: run Traefik with them.
set -eu

case "${1:-}" in
    -* | healthcheck | version) set -- traefik "$@" ;;
esac
exec "$@"
