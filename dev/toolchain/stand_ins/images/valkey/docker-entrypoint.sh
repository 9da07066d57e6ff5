#!/bin/sh
# Runs the server as `valkey` with /data its own. Options or a configuration file alone mean: the server with them.
set -eu

case "${1:-valkey-server}" in
    -* | *.conf) set -- valkey-server "$@" ;;
esac

case "$1" in
    valkey-server | redis-server)
        if [ "$(id -u)" = 0 ]; then
            find /data ! -user valkey -exec chown valkey '{}' +
            exec setpriv --reuid=valkey --regid=valkey --init-groups "$0" "$@"
        fi
        [ "$(umask)" != 0022 ] || umask 0077
        # Other containers must reach it: protected mode is off, as in the official image, unless the user sets it.
        case " $* " in
            *" --protected-mode "*) ;;
            *)
                if [ ! -r "${2:-}" ] || ! grep -qi '^[[:space:]]*protected-mode' "$2"; then
                    set -- "$@" --protected-mode no
                fi
                ;;
        esac
        # shellcheck disable=SC2086 — several flags in one variable, meant to be split
        exec "$@" ${VALKEY_EXTRA_FLAGS:-}
        ;;
esac
exec "$@"
