#!/bin/sh
# Runs what is in /docker-entrypoint.d (in the order of the names) before nginx, then the command.
set -eu

if [ "$1" = nginx ] || [ "$1" = nginx-debug ]; then
    for part in /docker-entrypoint.d/*; do
        [ -x "$part" ] || continue
        [ -n "${NGINX_ENTRYPOINT_QUIET_LOGS:-}" ] || echo "$0: running $part"
        case "$part" in
            *.envsh) . "$part" ;;
            *.sh) "$part" ;;
        esac
    done
fi
exec "$@"
