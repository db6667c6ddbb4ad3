#pragma once
// The JSON part of map_reader.h, read as a stream: nothing of the text is kept but the entry under way.

#include "bitmap/map_reader.h"

namespace drseed::bitmap {

// `kind` is kAuto or one of the three kinds in JSON. The rest as read_map().
Result<> read_map_json(std::string_view text, MapKind kind, const FileInfo& info, DirtyBitmap& bits);

}  // namespace drseed::bitmap
