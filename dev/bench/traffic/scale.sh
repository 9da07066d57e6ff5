#!/bin/sh
# The `--scale` way of a change without a gap, in the steps and with the defaults of docker-rollout 0.12: the new
# container beside the old one, wait for its health (a look a second), stop and remove the old one.
set -eu
docker compose --progress quiet pull web
old=$(docker compose ps --quiet web)
docker compose --progress quiet up --detach --no-recreate --scale web=2 web
new=$(docker compose ps --quiet web | grep --invert-match "$old")
tries=0
until [ "$(docker inspect --format '{{.State.Health.Status}}' "$new")" = healthy ]; do
    tries=$((tries + 1))
    if [ "$tries" -ge 60 ]; then
        docker stop "$new"
        docker rm "$new"
        exit 1
    fi
    sleep 1
done
docker stop "$old"
docker rm "$old"
