#pragma once
// Lists of dirty ranges that drseed or others wrote, as dirt. Hostile input: every number is checked against the
// volume, memory is bounded by the bitmap. A map of what is allocated is refused: it says nothing of what changed.

#include <string_view>

#include "bitmap/dirt.h"

namespace drseed::bitmap {

enum class MapKind {
  kAuto,
  kText,     // a line "OFFSET LENGTH" for each dirty range; blank lines and lines that begin with # say nothing
  kJson,     // as drseed bitmap export --format json
  kMap,      // nbdinfo --map=qemu:dirty-bitmap:NAME --json, and drseed bitmap export --format map
  kQemuMap,  // qemu-img map --output=json with x-dirty-bitmap: there "data": false is dirty
};

// Sets in `bits` the blocks that the map calls dirty. On an Error some may be set already; kDiffers where the map is
// damaged or of another volume, kUsage where it is of another kind. The two maps of whole volumes must cover it without
// a gap. kAuto refuses what may be a mistake: no input at all, and a qemu-img map without dirt, which looks the same as
// the allocation map of a full disk.
Result<> read_map(std::string_view text, MapKind kind, const FileInfo& info, DirtyBitmap& bits);

}  // namespace drseed::bitmap
