#!/bin/sh
# Lets the default site listen on IPv6 where the container has it and the file is still the image's own.
set -eu

site=/etc/nginx/conf.d/default.conf
[ -f /proc/net/if_inet6 ] && [ -w "$site" ] || exit 0
grep -q '^    listen 80;$' "$site" && ! grep -q 'listen \[::\]' "$site" || exit 0
sed -i 's/^    listen 80;$/    listen 80;\n    listen [::]:80;/' "$site" 2>/dev/null || true
