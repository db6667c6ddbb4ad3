#!/usr/bin/env bash
# Every command has a manual page that names its options, and no others: `man_pages.sh BIN_DIR`.
set -euo pipefail

drseed=$(readlink -f "${1:?usage: man_pages.sh BIN_DIR}")/drseed
pages=$(readlink -f "$(dirname "$(readlink -f "$0")")/../../docs/man")
command -v man >/dev/null || { echo "man is not installed: packaging/install-packages.sh test" >&2; exit 1; }
export LC_ALL=C MANWIDTH=1000
unset MANROFFOPT MANOPT

differences=0
differs() {
    echo "DIFFERS: $*" >&2
    differences=$((differences + 1))
}

# Options, one a line, from the heads of a --help's option lines ("  -q,--quiet   No progress").
help_options() {
    sed -nE 's/^  (-[^ :]+).*/\1/p' <<<"$1" | tr ',' '\n' | sort -u
}

# Whole options in a text, one a line.
options_in() {
    grep -oE '(^|[^A-Za-z0-9-])--?[A-Za-z][A-Za-z0-9-]*' | sed -E 's/^[^-]*//' | sort -u || true
}

options_section() {
    sed -n '/^OPTIONS$/,/^[A-Z]/{/^[A-Z]/d;p}' <<<"$1"
}

# check_page NAME HELP: NAME is "drseed" or "drseed-COMMAND".
check_page() {
    local page=$pages/$1.1 help=$2 text warnings options
    [ -f "$page" ] || { differs "$1: has no page docs/man/$1.1"; return; }
    warnings=$(man --warnings -l -Tutf8 "$page" 2>&1 >/dev/null)
    [ -z "$warnings" ] || differs "docs/man/$1.1: man warns: $warnings"
    text=$(man -Tascii -l "$page" 2>/dev/null | col -bx)
    for section in NAME SYNOPSIS DESCRIPTION OPTIONS "EXIT STATUS" EXAMPLES "SEE ALSO"; do
        grep -qx -- "$section" <<<"$text" || differs "docs/man/$1.1: has no section $section"
    done
    grep -qE "^ +$1 - " <<<"$text" || differs "docs/man/$1.1: its NAME is not $1"

    options=$(help_options "$help")
    [ -n "$options" ] || differs "$1 --help: names no options"
    for option in $options; do
        options_section "$text" | options_in | grep -cx -- "$option" >/dev/null || differs "docs/man/$1.1: OPTIONS does not name $option, which --help does"
    done
    for option in $(options_section "$text" | options_in); do
        grep -qx -- "$option" <<<"$options" || differs "docs/man/$1.1: OPTIONS names $option, which --help does not"
    done
    for word in $(sed -n '/^Positionals:/,/^$/s/^  \([A-Z][A-Z]*\) .*/\1/p' <<<"$help"); do
        grep -qw -- "$word" <<<"$text" || differs "docs/man/$1.1: does not name the argument $word"
    done
}

subcommands_of() {
    sed -n '/^Subcommands:/,/^$/s/^  \([a-z][a-z-]*\) .*/\1/p' <<<"$1"
}

main_help=$("$drseed" --help)
commands=$(subcommands_of "$main_help")
[ -n "$commands" ] || { echo "drseed --help lists no commands" >&2; exit 1; }

check_page drseed "$main_help"
for command in $commands; do
    help=$("$drseed" "$command" --help)
    # A command with subcommands has one page for all of them, with the options of all.
    all_help=$help
    for nested in $(subcommands_of "$help"); do
        nested_help=$("$drseed" "$command" "$nested" --help)
        all_help+=$'\n\n'$nested_help
        man -Tascii -l "$pages/drseed-$command.1" 2>/dev/null | col -bx | sed -n '/^SYNOPSIS$/,/^DESCRIPTION$/p' | grep -cE "^ +drseed $command $nested( |$)" >/dev/null ||
            differs "docs/man/drseed-$command.1: SYNOPSIS has no line of drseed $command $nested"
        last=$(sed '/^ *$/d' <<<"$nested_help" | tail -n 1)
        [[ $last == "Example: drseed $command $nested "* ]] || differs "drseed $command $nested --help: does not end with an example"
    done
    check_page "drseed-$command" "$all_help"
    grep -q "drseed\\\\-$command" "$pages/drseed.1" || differs "docs/man/drseed.1: does not name drseed-$command(1)"
    last=$(sed '/^ *$/d' <<<"$help" | tail -n 1)
    [[ $last == "Example: drseed $command "* ]] || differs "drseed $command --help: does not end with an example"
done
for page in "$pages"/*.1; do
    name=$(basename "$page" .1)
    [ "$name" = drseed ] || grep -qx -- "${name#drseed-}" <<<"$commands" || differs "docs/man/$name.1: drseed has no such command"
done

[ "$differences" = 0 ] || { echo "$differences differences between the manual pages and --help" >&2; exit 1; }
echo "$(wc -w <<<"$commands") commands: pages and --help agree"
