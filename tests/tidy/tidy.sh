#!/usr/bin/env bash
# The house rules that a program can check, over the files that git tracks: `tidy.sh SOURCE_DIR`. Exit 77: there is no git here.
# Patterns are written so that this file does not match them.
set -euo pipefail

cd "${1:?usage: tidy.sh SOURCE_DIR}"
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
git ls-files >/dev/null 2>&1 || { echo "SKIPPED: not a git checkout, nothing says which files are ours"; exit 77; }

findings=0
finding() {
    echo "TIDY: $*" >&2
    findings=$((findings + 1))
}

# Tracked files that are there, by patterns.
tracked() {
    git ls-files -- "$@" | while read -r file; do [ ! -f "$file" ] || echo "$file"; done
}

# none RULE REGEX FILES...: no line may match.
none() {
    local rule=$1 regex=$2 hit
    shift 2
    [ $# -gt 0 ] || return 0
    while IFS= read -r hit; do finding "$hit: $rule"; done < <(grep -nHE -- "$regex" "$@" || true)
}

mapfile -t code < <(tracked '*.h' '*.cpp')
mapfile -t headers < <(tracked '*.h')
mapfile -t scripts < <(tracked '*.sh' .ci/run)
mapfile -t test_code < <(tracked 'tests/*.h' 'tests/*.cpp')
mapfile -t test_scripts < <(tracked 'tests/*.sh')
mapfile -t texts < <(tracked '*.h' '*.cpp' '*.sh' '*.py' '*.cmake' '*CMakeLists.txt' '*.md' '*.1' .ci/run)
mapfile -t readable < <(git grep -Il '' -- . ':!tests/fuzz/corpus' ':!tests/unit/golden')
[ ${#code[@]} -gt 0 ] || { echo "TIDY: git tracks no source file here" >&2; exit 1; }

while IFS= read -r line; do finding "$line: run clang-format -i"; done < <(
    printf '%s\0' "${code[@]}" | xargs -0 -n 16 -P "$(nproc)" clang-format --dry-run -Werror 2>&1 | grep -E ': (error|warning):' |
        sed -E 's/^([^:]*:[0-9]+):.*/\1/' | sort -u || true)

none "do it, or open an issue" '\b(TOD[O]|FIXM[E]|XX[X]|HAC[K])\b' "${texts[@]}"
none "a packed attribute: use byte-array integers (base/endian.h)" '__attribute__ *\(\(.*packe[d]|#pragma pac[k]|\[\[gnu::packe[d]' "${code[@]}"
none "sleeping makes a test slow or flaky: wait for what you wait for" 'slee[p]_(for|until)|\busleep *\(|\bnanosleep *\(' "${test_code[@]}"
none "sleeping makes a test slow or flaky: wait for what you wait for" '(^|[;&|({] *| do | then )u?slee[p] ' "${test_scripts[@]}"
none "a path of the development machine" '(^|[^A-Za-z0-9._-])/wor[k]/' "${readable[@]}"
none "a package registry's host" '\b(pypi|pythonhosted|npmjs|crates|rubygems|docker|quay|ghcr|golang|nuget|maven|conan|hex|deb\.debian|(security|snapshot|packages)\.debian|(archive|security)\.ubuntu)\.(org|io|com|net|pm)\b' "${readable[@]}"

for header in "${headers[@]}"; do
    [ "$(sed -n 1p "$header")" = '#pragma once' ] || finding "$header:1: a header begins with #pragma once"
    sed -n 2p "$header" | grep -q '^// ' || finding "$header:2: a header's contract follows #pragma once as a comment"
done

for script in "${scripts[@]}"; do
    message=$(bash -n "$script" 2>&1) || finding "$message"
done

for file in "${texts[@]}"; do
    lines=$(wc -l <"$file")
    [ "$lines" -le 600 ] || finding "$file: $lines lines, at most 600: it holds more than one concern"
done

for package in $(awk 'NF && $1 !~ /^#/ {print $1}' packaging/debian-packages.txt | sort | uniq -d); do
    finding "packaging/debian-packages.txt: names $package more than once"
done

# Structs of a format are those whose size is asserted; and what uses byte-array integers must have it asserted.
# In a co_await expression g++ 12 miscompiles braces and lambdas: double free.
while IFS= read -r line; do finding "$line"; done < <(python3 - "${code[@]}" <<'PY'
import re, sys

def without_comments(text):
    keep_lines = lambda m: '\n' * m.group().count('\n')
    return re.sub(r'//[^\n]*', '', re.sub(r'/\*.*?\*/', keep_lines, text, flags=re.S))

def line_of(text, at):
    return text.count('\n', 0, at) + 1

def check_format(path, text):
    enums = set(re.findall(r'\benum\s+(?:class\s+)?(\w+)', text))
    for struct in re.finditer(r'\bstruct (\w+) \{\n(.*?)\n\};', text, re.S):
        name, body = struct.groups()
        members = [(m.start(2), m.group(1), m.group(0)) for m in
                   re.finditer(r'^ +([\w:<>, ]+?) +(\w+(?:\[\w+\])*(?: *: *\d+)?)(?: *(?:=|\{)[^;(]*)?;', body, re.M)]
        asserted = f'sizeof({name})' in text
        if not asserted:
            if re.search(r'\bu[lb](16|32|64)\b', body):
                print(f'{path}:{line_of(text, struct.start())}: struct {name}: no static_assert on its size')
            continue
        for at, kind, whole in members:
            where = f'{path}:{line_of(text, struct.start(2) + at)}: struct {name}'
            if kind == 'bool': print(f'{where}: a bool in a format')
            elif kind.split('::')[-1] in enums: print(f'{where}: an enum in a format')
            elif re.search(r'\w *: *\d+', whole): print(f'{where}: a bit-field in a format')
            elif re.fullmatch(r'(std::)?(u?int(16|32|64)_t|size_t)|(unsigned )?(short|int|long)|unsigned', kind):
                print(f'{where}: an integer of the machine\'s byte order in a format')

def check_co_await(path, text):
    for match in re.finditer(r'\bco_await\b', text):
        depth = 0
        for at in range(match.end(), len(text)):
            c = text[at]
            if c == '{' or (c == '[' and re.match(r'\[[&=\w, *]*\] *(\(|\{|mutable)', text[at:])):
                print(f'{path}:{line_of(text, match.start())}: a brace or lambda in a co_await expression: name it first, then std::move it')
                break
            depth += (c == '(') - (c == ')')
            if c == ';' or depth < 0: break

for path in sys.argv[1:]:
    text = without_comments(open(path, encoding='utf-8', errors='replace').read())
    if path.endswith('_format.h'): check_format(path, text)
    check_co_await(path, text)
PY
)

[ "$findings" = 0 ] || { echo "$findings findings" >&2; exit 1; }
echo "${#code[@]} source files, ${#scripts[@]} scripts: tidy"
