#!/bin/bash
# First start: make the database cluster in $PGDATA as the POSTGRES_* variables say. Every start: run the server as `postgres`.
set -Eeuo pipefail

say() { printf '%s slipway stand-in: %s\n' "$(date -u '+%Y-%m-%d %H:%M:%S')" "$*"; }
fail() { printf 'Error: %s\n' "$*" >&2; exit 1; }

# NAME or the content of the file that NAME_FILE names (a Docker secret), else the default
setting() {
    local name=$1 file="$1_FILE" default=${2:-}
    [[ -z ${!name:-} || -z ${!file:-} ]] || fail "both $name and $file are set (but are exclusive)"
    local value=${!name:-$default}
    [[ -z ${!file:-} ]] || value=$(<"${!file}")
    export "$name=$value"
    unset "$file"
}

own_directories() {
    mkdir -p "$PGDATA" /var/run/postgresql
    chmod 700 "$PGDATA" 2>/dev/null || true
    chmod 3775 /var/run/postgresql 2>/dev/null || true
    [[ -z ${POSTGRES_INITDB_WALDIR:-} ]] || mkdir -p "$POSTGRES_INITDB_WALDIR"
    if [[ $(id -u) == 0 ]]; then
        find "$PGDATA" ${POSTGRES_INITDB_WALDIR:+"$POSTGRES_INITDB_WALDIR"} /var/run/postgresql ! -user postgres -exec chown postgres '{}' +
    fi
}

# initdb wants a name for the user it runs as; a Compose `user:` may be a bare number
name_this_user() {
    getent passwd "$(id -u)" >/dev/null && return
    local library
    library=$(find /usr/lib -name libnss_wrapper.so -print -quit)
    export LD_PRELOAD=$library NSS_WRAPPER_PASSWD=/tmp/.passwd NSS_WRAPPER_GROUP=/tmp/.group
    echo "postgres:x:$(id -u):$(id -g):PostgreSQL:$PGDATA:/bin/false" >"$NSS_WRAPPER_PASSWD"
    echo "postgres:x:$(id -g):" >"$NSS_WRAPPER_GROUP"
}

make_cluster() {
    local method=${POSTGRES_HOST_AUTH_METHOD:-}
    if [[ -z $POSTGRES_PASSWORD && $method != trust ]]; then
        fail "Database is uninitialized and superuser password is not specified.
       Set POSTGRES_PASSWORD to a non-empty value, or POSTGRES_HOST_AUTH_METHOD=trust to let everybody in without one."
    fi
    local wal=()
    [[ -z ${POSTGRES_INITDB_WALDIR:-} ]] || wal=(--waldir "$POSTGRES_INITDB_WALDIR")
    # POSTGRES_INITDB_ARGS is a command line: it is meant to be split
    eval 'initdb --username="$POSTGRES_USER" --pwfile=<(printf "%s\n" "$POSTGRES_PASSWORD") "${wal[@]}" '"$POSTGRES_INITDB_ARGS"
    [[ -n $method ]] || method=$(postgres -C password_encryption "$@" 2>/dev/null || echo scram-sha-256)
    printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
}

query() {
    PGHOST='' PGHOSTADDR='' psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --no-password --no-psqlrc "$@"
}

run_scripts() {
    local script
    for script in /docker-entrypoint-initdb.d/*; do
        case $script in
            *.sh) if [[ -x $script ]]; then say "running $script"; "$script"; else say "sourcing $script"; . "$script"; fi ;;
            *.sql) say "running $script"; query --dbname "$POSTGRES_DB" -f "$script" ;;
            *.sql.gz) say "running $script"; gunzip -c "$script" | query --dbname "$POSTGRES_DB" ;;
            *.sql.xz) say "running $script"; xz -dc "$script" | query --dbname "$POSTGRES_DB" ;;
            *.sql.zst) say "running $script"; zstd -dc "$script" | query --dbname "$POSTGRES_DB" ;;
            */\*) ;;
            *) say "ignoring $script" ;;
        esac
    done
}

# The scripts see the server through its socket only: nobody else can reach it before it is complete
fill_cluster() {
    local options
    printf -v options '%q ' "$@" -c listen_addresses= -p "${PGPORT:-5432}"
    NOTIFY_SOCKET='' PGUSER="$POSTGRES_USER" pg_ctl -D "$PGDATA" -o "$options" -w start
    if ! query --dbname postgres --set db="$POSTGRES_DB" --tuples-only <<<"SELECT 1 FROM pg_database WHERE datname = :'db'" | grep -q 1; then
        query --dbname postgres --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db"'
    fi
    export PGPASSWORD="${PGPASSWORD:-$POSTGRES_PASSWORD}"
    run_scripts
    unset PGPASSWORD
    PGUSER="$POSTGRES_USER" pg_ctl -D "$PGDATA" -m fast -w stop
    printf '\nPostgreSQL init process complete; ready for start up.\n\n'
}

only_asks() {
    local argument
    for argument; do
        case $argument in -'?' | --help | --describe-config | -V | --version | -C) return 0 ;; esac
    done
    return 1
}

[[ ${1:-} != -* ]] || set -- postgres "$@"
if [[ ${1:-} == postgres ]] && ! only_asks "$@"; then
    own_directories
    if [[ $(id -u) == 0 ]]; then
        exec gosu postgres "${BASH_SOURCE[0]}" "$@"
    fi
    if [[ ! -s $PGDATA/PG_VERSION ]]; then
        name_this_user
        setting POSTGRES_PASSWORD
        setting POSTGRES_USER postgres
        setting POSTGRES_DB "$POSTGRES_USER"
        setting POSTGRES_INITDB_ARGS
        make_cluster "${@:2}"
        fill_cluster "${@:2}"
        unset LD_PRELOAD NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
    else
        printf '\nPostgreSQL Database directory appears to contain a database; Skipping initialization\n\n'
    fi
fi
exec "$@"
