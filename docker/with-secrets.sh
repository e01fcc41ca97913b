#!/bin/sh
# Run a command with the secrets that it needs. Prefect reads none from files: PREFECT_…_FILE names a file, and its content becomes
# PREFECT_… for this command alone; so no secret stands in the settings that `docker inspect` shows. The queue's address gets
# Redis's password in the same way.
set -eu
for pair in $(env | grep -E '^(PREFECT|REDIS)_[A-Z_]+_FILE='); do
    file=${pair#*=}
    if ! [ -s "$file" ] || ! [ -r "$file" ]; then
        echo "with-secrets: $file is missing, empty or not readable for this user; docker/.env.example says how it is made" >&2
        exit 1
    fi
    export "${pair%%_FILE=*}=$(cat "$file")"
done
if [ -n "${REDIS_PASSWORD-}" ] && [ -n "${PREFECT_SERVER_DOCKET_URL-}" ]; then
    quoted=$(printf %s "$REDIS_PASSWORD" | python -c "import sys, urllib.parse as p; sys.stdout.write(p.quote(sys.stdin.read(), safe=''))")
    export PREFECT_SERVER_DOCKET_URL="redis://:$quoted@${PREFECT_SERVER_DOCKET_URL#redis://}"
    unset REDIS_PASSWORD
fi
# Docker hands its proxies on to containers; what they ask each other takes none.
given=${no_proxy:-${NO_PROXY-}}
export no_proxy="${given:+$given,}localhost,127.0.0.1,server"
export NO_PROXY="$no_proxy"
exec "$@"
