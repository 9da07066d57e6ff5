#!/bin/sh
# /etc/nginx/templates/NAME.template → /etc/nginx/conf.d/NAME with the environment's variables put in; $uri and the like
# stay, because only names that are set in the environment are replaced.
set -eu

templates=${NGINX_ENVSUBST_TEMPLATE_DIR:-/etc/nginx/templates}
suffix=${NGINX_ENVSUBST_TEMPLATE_SUFFIX:-.template}
output=${NGINX_ENVSUBST_OUTPUT_DIR:-/etc/nginx/conf.d}
filter=${NGINX_ENVSUBST_FILTER:-}

[ -d "$templates" ] || exit 0
names=$(awk -v filter="$filter" 'BEGIN { for (name in ENVIRON) if (name ~ filter) printf "${%s} ", name }' </dev/null)
find "$templates" -follow -type f -name "*$suffix" | while read -r template; do
    relative=${template#"$templates/"}
    target=$output/${relative%"$suffix"}
    if [ ! -w "$output" ]; then
        echo "$0: $template is not used: $output is not writable" >&2
        continue
    fi
    mkdir -p "$(dirname "$target")"
    envsubst "$names" <"$template" >"$target"
done
