#!/usr/bin/env bash
# Everything that must pass before a merge, from a fresh clone: installs what is missing, builds, and runs all tests of the release build,
# then the unit and fuzz corpus tests under the address and undefined behaviour sanitizers. About 15 minutes on two processors at most.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

heading() { printf '\n=== %s\n' "$*"; }

# tested NAME CTEST_ARGUMENTS...: remembers ctest's closing lines for the end.
failed=()
summaries=""
tested() {
    local name=$1 log
    shift
    log=build/$name/ctest.log
    ctest --preset "$name" -j"$(nproc)" --output-on-failure --no-tests=error "$@" 2>&1 | tee "$log" || failed+=("$name")
    summaries+=$(printf '\n--- %s\n' "$name"; sed -n '/tests passed/,$p' "$log")$'\n'
}

heading "1/4 Install what is missing"
packaging/install-packages.sh test

heading "2/4 Build and test: release"
cmake --preset release
cmake --build --preset release
tested release

heading "3/4 Build and test: sanitizers"
cmake --preset asan
cmake --build --preset asan --target unit_and_fuzz
tested asan -R '^(unit|fuzz)\.'

heading "4/4 Results"
echo "$summaries"
[ ${#failed[@]} = 0 ] || { echo "FAILED: ${failed[*]}"; exit 1; }
echo "All passed."
