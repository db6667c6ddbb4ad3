#pragma once
// Images that drseed did not make: raw, or compressed with gzip, xz, bzip2, zstd or lz4, also inside a tar or zip
// (whose one regular file is the disk, itself perhaps compressed). Recognised by content, not by name.
//
// Nothing in a foreign image proves a block on its own: what its compression format checks (gzip's and bzip2's CRC,
// xz's and zstd's checks) is checked, gzip with zlib itself because libarchive 3.6.2 does not look at the CRC; the rest
// needs a digest.

#include <memory>
#include <optional>
#include <string>

#include "seed/byte_source.h"

namespace drseed::seed {

struct ForeignImage {
  std::unique_ptr<ByteSource> bytes;        // the plain disk
  std::string format;                       // "raw", "gzip", "gzip in tar (disk.img.gz)"
  std::optional<std::uint64_t> size_bytes;  // of the plain disk, where known before reading: raw files, xz is not tried
  std::string content_name;  // name of the member, or the file's base name without the compression suffix
};

// `source` must outlive nothing: it is owned from here on. A tar or zip with no or several regular files is kUsage and
// names them.
Result<ForeignImage> open_foreign(std::unique_ptr<FdSource> source);

}  // namespace drseed::seed
