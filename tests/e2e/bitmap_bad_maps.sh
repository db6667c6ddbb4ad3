# A list or map that is damaged, hostile, of another volume or of what is allocated changes nothing, and is explained.
source "$(dirname "$0")/lib.sh"

"$drseed" bitmap create b --size 1MiB >/dev/null
"$drseed" bitmap set b --range 4096+4096 >/dev/null
cp b before

# bad STATUS FORMAT MESSAGE: the map on standard input is refused so.
bad() {
    cat >map
    expect "$1" "$drseed" bitmap import b map --format "$2"
    says "$3"
    says "nothing was changed"
    same b before
}
bad 1 text "line 1: expected OFFSET LENGTH" <<<"nonsense"
bad 1 text "line 2: expected" <<<$'0 512\n0'
bad 1 auto "line 1: expected" <<<"0 512 1 dirty"
bad 1 text "line 1: expected" <<<"-1 512"
bad 1 text "line 1: expected" <<<"0x10 512"
bad 1 text "line 1: expected" <<<"1.5 512"
bad 1 text "line 1: expected" <<<"18446744073709551616 1"
bad 1 text "line 1: range" <<<"0 0"
bad 1 text "1048576 bytes" <<<"1048576 1"
bad 1 text "beyond the volume" <<<"1048575 2"
bad 1 text "beyond the volume" <<<"18446744073709551615 18446744073709551615"
bad 1 text "beyond the volume" <<<"512 18446744073709551615"
bad 1 text "line 1" <<<"[]"
head -c 3000 /dev/zero >map
expect 1 "$drseed" bitmap import b map
bad 2 auto "is empty" </dev/null
bad 2 auto "is empty" <<<$'  \n\n'
# Good lines before a bad one do nothing either.
bad 1 auto "line 2" <<<$'8192 4096\n8192 4096 4096'

bad 1 json "is no JSON" </dev/null
bad 1 auto "is no JSON" <<<'{"volume_bytes": 1048576, "runs": [{"offset_bytes": 0, "length_bytes": 512},'
bad 1 auto "is no JSON" <<<'{"volume_bytes": 1048576, "runs": []} more'
bad 1 auto "1048576" <<<'{"volume_bytes": 2097152, "runs": []}'
bad 1 auto '"volume_bytes"' <<<'{"runs": []}'
bad 1 auto '"runs"' <<<'{"volume_bytes": 1048576}'
bad 1 auto "one twice" <<<'{"volume_bytes": 2097152, "volume_bytes": 1048576, "runs": []}'
bad 1 auto '"length_bytes"' <<<'{"volume_bytes": 1048576, "runs": [{"offset_bytes": 0}]}'
bad 1 auto '"length_bytes"' <<<'{"volume_bytes": 1048576, "runs": [{"offset_bytes": 0, "length_bytes": -5}]}'
bad 1 auto '"length_bytes"' <<<'{"volume_bytes": 1048576, "runs": [{"offset_bytes": 0, "length_bytes": 1e3}]}'
bad 1 auto '"offset_bytes"' <<<'{"volume_bytes": 1048576, "runs": [{"offset_bytes": 99999999999999999999999, "length_bytes": 1}]}'
bad 1 auto "entry 1: range" <<<'{"volume_bytes": 1048576, "runs": [{"offset_bytes": 0, "length_bytes": 1}, {"offset_bytes": 1048576, "length_bytes": 512}]}'
bad 1 auto "an array where none is expected" <<<'{"volume_bytes": 1048576, "runs": [[0, 512]]}'
bad 2 json "expected format json" <<<'[{"offset": 0, "length": 1048576, "type": 1, "description": "dirty"}]'
bad 2 map "looks like format json" <<<'{"volume_bytes": 1048576, "runs": []}'
bad 2 map "looks like format qemu-map" <<<'[{"start": 0, "length": 1048576, "zero": false, "data": false}]'

# Maps of the whole volume leave no gap, and are of this volume.
bad 1 auto "covers 0 bytes" <<<'[]'
bad 1 auto "covers 524288 bytes" <<<'[{"offset": 0, "length": 524288, "type": 1, "description": "dirty"}]'
bad 1 auto "beyond the volume" <<<'[{"offset": 0, "length": 2097152, "type": 0, "description": "clean"}]'
bad 1 auto "expected 4096" <<<'[{"offset": 0, "length": 4096, "type": 0, "description": "clean"}, {"offset": 8192, "length": 1040384, "type": 1, "description": "dirty"}]'
bad 1 auto "expected 4096" <<<'[{"offset": 0, "length": 4096, "type": 0, "description": "clean"}, {"offset": 0, "length": 1048576, "type": 1, "description": "dirty"}]'
bad 1 auto '"type"' <<<'[{"offset": 0, "length": 1048576, "description": "dirty"}]'
bad 1 auto '"description"' <<<'[{"offset": 0, "length": 1048576, "type": 1}]'
bad 1 auto '"data"' <<<'[{"start": 0, "length": 1048576, "zero": false, "data": 0}]'
bad 2 auto "looks like format qemu-map" <<<'[{"offset": 0, "length": 4096, "type": 0, "description": "clean"}, {"start": 4096, "length": 1044480, "zero": false, "data": true}]'

# What is allocated is not what changed.
bad 2 auto "does not tell what changed" <<<'[{"offset": 0, "length": 1048576, "type": 0, "description": "data"}]'
bad 2 auto "does not tell what changed" <<<'[{"offset": 0, "length": 1048576, "type": 1, "description": "hole"}]'
bad 2 auto "x-dirty-bitmap" <<<'[{"start": 0, "length": 1048576, "zero": true, "data": false}]'
bad 2 auto "--format qemu-map" <<<'[{"start": 0, "length": 1048576, "zero": false, "data": true, "offset": 0}]'

# Deep, wide and large.
python3 -c 'print("[" * 1000000)' >map
expect 1 "$drseed" bitmap import b map
python3 -c 'print("[" + "{\"a\":" * 1000000)' >map
expect 1 "$drseed" bitmap import b map
python3 -c 'print("[{" + ",".join("\"k%d\":1" % i for i in range(100000)) + "}]")' >map
expect 1 "$drseed" bitmap import b map
says "too many fields"
truncate -s 300MiB map
expect 2 "$drseed" bitmap import b map
says "256 MiB"
expect 3 "$drseed" bitmap import b nowhere
expect 2 "$drseed" bitmap import b map --format xml
same b before

# Unknown fields are others' business, and a million lines are no matter.
printf '[{"start": 0, "length": 1048576, "depth": 0, "present": false, "zero": false, "data": false, "compressed": null, "new": 1.5}]' >map
expect 0 "$drseed" bitmap import b map --json
[ "$(json 'v["slots"][0]["dirty_blocks"]')" = 256 ]
python3 -c 'print("512 512\n" * 1000000)' >map
expect 0 "$drseed" bitmap import b map
