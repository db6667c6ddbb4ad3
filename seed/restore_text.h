#pragma once
// RESTORE.md: how to restore the disk with tar, zstd (or gzip), sha256sum and dd alone. The commands in it are run by a
// test as they stand.

#include <string>

#include "seed/image_meta.h"

namespace drseed::seed {

std::string restore_text(const ImageHeader& header);

}  // namespace drseed::seed
