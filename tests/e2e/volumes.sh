# An image split over media: order, names and places do not matter; what is missing is named.
source "$(dirname "$0")/lib.sh"

make_disk disk.img 30000000 21
expect 0 "$drseed" image disk.img x.drseed --segment-size 256KiB --volume-size 1MiB --sha256 --json
count=$(json 'v["volumes"]')
[ "$count" -gt 3 ] || fail "only $count volumes"
[ "$(ls x.drseed.* | wc -l)" = "$count" ]
[ "$(stat -c %s x.drseed.* | sort -n | tail -1)" -le $((1 << 20)) ] || fail "a volume is larger than --volume-size"
for volume in x.drseed.*; do
    # Each says which it is, of how many, of which image.
    tar -xOf "$volume" drseed/trailer.json | grep -c "\"volumes\": $count" >counted
done
for image in x.drseed x.drseed.001 x.drseed.003; do
    expect 0 "$drseed" verify $image
    expect 0 "$drseed" verify $image --against disk.img
done
cat x.drseed.* | "$drseed" apply - piped.img
same disk.img piped.img

# Other names, other folders.
mkdir usb1 usb2 usb3
number=0
for volume in x.drseed.*; do
    number=$((number + 1))
    mv "$volume" "usb$((number % 3 + 1))/$((9999 - number)).bin"
done
first=$(printf "%s\n" usb2/* | sed -n 1p)
expect 0 "$drseed" apply "$first" copy.img --volumes usb1 --volumes usb3
same disk.img copy.img

# Missing ones: refused before anything is written; with --partial the rest is applied, then --resume takes the others.
expect 1 "$drseed" verify "$first" --volumes usb1
says "missing"
rm copy.img
expect 1 "$drseed" apply "$first" copy.img --volumes usb1
says "nothing was written"
[ ! -e copy.img ]
expect 1 "$drseed" apply "$first" copy.img --volumes usb1 --partial
says "missing"
expect 0 "$drseed" apply "$first" copy.img --volumes usb1 --volumes usb3 --resume --json
[ "$(json 'v["earlier_bytes"] > 0')" = True ]
same disk.img copy.img

# A volume of another image is not taken.
make_disk other.img 30000000 22
"$drseed" image other.img y.drseed --segment-size 256KiB --volume-size 1MiB >/dev/null
mv y.drseed.002 usb3/
rm usb3/[0-9]*
expect 1 "$drseed" verify "$first" --volumes usb1 --volumes usb3
says "missing"
expect 2 "$drseed" image disk.img z.drseed --volume-size 1KiB
[ ! -e z.drseed.001 ]
expect 2 "$drseed" image disk.img - --volume-size 1GiB
