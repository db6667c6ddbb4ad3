#pragma once
// Dirt as a list of byte runs for other programs. Pure: the text goes to a sink, piece by piece.

#include <functional>
#include <string_view>

#include "bitmap/dirt.h"

namespace drseed::bitmap {

enum class MapFormat {
  kText,  // a line "OFFSET LENGTH" for each dirty run
  kJson,  // {"volume_bytes", "block_bytes", "runs": [{"offset_bytes", "length_bytes"}]}
  kMap,   // nbdinfo --map --json of a dirty bitmap: the whole volume in extents of type 0 (clean) and 1 (dirty)
};

using TextSink = std::function<Result<>(std::string_view text)>;

// Runs ascend and end with the volume. Fails only as the sink does.
Result<> write_map(const DirtyBitmap& bits, const FileInfo& info, MapFormat format, const TextSink& sink);

}  // namespace drseed::bitmap
