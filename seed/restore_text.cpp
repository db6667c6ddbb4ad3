#include "seed/restore_text.h"

#include "base/size_text.h"

namespace drseed::seed {
namespace {

std::string unpack_command(Codec codec) {
  switch (codec) {
    case Codec::kZstd:
      return "find data -name '*.zst' -exec zstd -q -d --rm {} +";
    case Codec::kGzip:
      return "find data -name '*.gz' -exec gzip -d {} +";
    case Codec::kNone:
      return ": the segments are not compressed";
  }
  return "";
}

}  // namespace

std::string restore_text(const ImageHeader& header) {
  const auto tool = header.codec == Codec::kZstd ? "zstd, " : (header.codec == Codec::kGzip ? "gzip, " : "");
  return fmt::format(R"(# Restoring this image without drseed

This is a seed image made by {writer}: a disk of {size} bytes ({short_size}), in segments of {segment} bytes,
image {id}. With drseed: `drseed apply IMAGE DEVICE`.

Without it, these commands need only tar, {tool}sha256sum and dd. Set IMAGE to the image (all its volumes, if there are
several, in any order) and TARGET to a file or to a device of at least {size} bytes. EVERYTHING ON THE TARGET IS LOST.
They unpack in a new folder under the current one, one volume at a time; a damaged segment stops them before anything of its volume is written.

```sh
set -eu
IMAGE=${{IMAGE:-image.drseed}}
TARGET=${{TARGET:-disk.img}}
# Segments that are all zero are not in the image: the target is zeroed first.
if [ -b "$TARGET" ]; then
    dd if=/dev/zero of="$TARGET" bs={segment} count={size} iflag=count_bytes conv=fsync status=none
else
    rm -f "$TARGET"
    dd if=/dev/null of="$TARGET" bs=1 seek={size} status=none
fi
work=$(mktemp -d ./restore.XXXXXX)
given=0
wanted=unknown
for volume in $IMAGE; do
    mkdir "$work/data"
    tar -xf "$volume" -C "$work"
    (cd "$work" && {unpack})
    (cd "$work" && [ ! -s SHA256SUMS ] || sha256sum --quiet -c SHA256SUMS)
    for segment in "$work"/data/*; do
        [ -e "$segment" ] || continue
        dd if="$segment" of="$TARGET" bs={segment} seek=$((0x${{segment##*/}} / {segment})) conv=notrunc status=none
    done
    given=$((given + 1))
    if grep -q '"last": true' "$work/drseed/trailer.json"; then
        wanted=$(sed -n 's/.*"volumes": \([0-9]*\).*/\1/p' "$work/drseed/trailer.json")
    fi
    rm -rf "$work/data" "$work/drseed" "$work/SHA256SUMS" "$work/RESTORE.md"
done
rmdir "$work"
[ "$given" = "$wanted" ] || {{ echo "$given volumes were given, the image has $wanted" >&2; exit 1; }}
sync
```

`drseed/trailer.json` holds the digest of the whole disk, where it was asked for when the image was made.
)",
                     fmt::arg("writer", header.writer), fmt::arg("size", header.disk_bytes),
                     fmt::arg("short_size", format_size(header.disk_bytes)), fmt::arg("segment", header.segment_bytes),
                     fmt::arg("id", to_string(header.image_id)), fmt::arg("tool", tool),
                     fmt::arg("unpack", unpack_command(header.codec)));
}

}  // namespace drseed::seed
