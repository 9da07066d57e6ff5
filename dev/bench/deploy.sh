#!/bin/sh
# The peer: the shortest honest deployment of the example application. One SSH connection; the Compose files, the
# configuration and the secrets are on the host already. Needs SSH (the ssh command line) and IMAGES (a prefix).
set -eu
docker compose -f compose.yaml -f images.yaml build --quiet
docker compose -f compose.yaml -f images.yaml push --quiet
$SSH 'cd app && docker compose -f compose.yaml -f images.yaml pull --quiet && docker compose -f compose.yaml -f images.yaml up --detach --wait --quiet-pull'
