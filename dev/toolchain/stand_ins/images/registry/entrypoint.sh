#!/bin/sh
# A configuration file alone means: serve with it.
set -eu

case "${1:-}" in
    *.yml | *.yaml) set -- registry serve "$@" ;;
    serve | garbage-collect | help | -*) set -- registry "$@" ;;
esac
exec "$@"
