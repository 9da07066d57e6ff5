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
        # Other containers must reach it: protected mode is off, as in the official image, unless the user's file sets it.
        program=$1
        shift
        file=
        case "${1:-}" in
            '' | -*) ;;
            *) file=$1 && shift ;;
        esac
        if [ -z "$file" ]; then
            set -- "$program" --protected-mode no "$@"
        elif [ -r "$file" ] && grep -qi '^[[:space:]]*protected-mode' "$file"; then
            set -- "$program" "$file" "$@"
        else
            set -- "$program" "$file" --protected-mode no "$@"
        fi
        # shellcheck disable=SC2086 — several flags in one variable, meant to be split
        exec "$@" ${VALKEY_EXTRA_FLAGS:-}
        ;;
esac
exec "$@"
