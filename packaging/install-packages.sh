#!/usr/bin/env bash
# Installs what is missing from debian-packages.txt: `install-packages.sh build`, or `install-packages.sh test` for all of it.
set -euo pipefail
purpose=${1:?usage: install-packages.sh build|test}
list=$(dirname "$(readlink -f "$0")")/debian-packages.txt
missing=()
while read -r package group; do
    case $package in ''|'#'*) continue ;; esac
    [ "$purpose" = test ] || [ "$group" = build ] || continue
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done < "$list"
[ ${#missing[@]} -gt 0 ] || exit 0
echo "Installing Debian packages: ${missing[*]}"
as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo)
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
