#pragma once
// Bitmap files on a file system, locked so that a tool and the daemon never write one at the same time.

#include <memory>
#include <string>

#include "bitmap/bitmap_file.h"

namespace drseed::bitmap {

enum class OpenMode { kReadOnly, kReadWrite };

// A new file that is there whole or not at all. kRefused if the path exists.
Result<> create_bitmap_file(const std::string& path, const FileInfo& info, const StateRecord& state);

// Read-only takes a shared lock, read-write an exclusive one, which end with the object or the process. kRefused while
// another process holds one that conflicts.
Result<BitmapFile> open_bitmap_file(const std::string& path, OpenMode mode);

}  // namespace drseed::bitmap
