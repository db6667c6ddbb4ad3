#pragma once
// Recognises a foreign image by its first bytes. Pure.

#include <cstdint>
#include <span>
#include <string_view>

namespace drseed::seed {

enum class ForeignMagic { kRaw, kGzip, kXz, kBzip2, kZstd, kLz4, kLz4Legacy, kTar, kZip, kEmptyZip };

// How many bytes recognise_foreign likes to see; with fewer it knows only what fits. A tar header, the longest.
inline constexpr std::size_t kForeignMagicBytes = 512;

// kTar only with a ustar magic and a right header checksum, so that a disk is not taken for one. zstd and lz4 share
// their skippable frames: the first frame after them decides.
ForeignMagic recognise_foreign(std::span<const std::uint8_t> start);

// One of the five that compress one stream.
bool is_compression(ForeignMagic magic);

// "raw", "gzip", ...
std::string_view name_of(ForeignMagic magic);

// `name` without the suffix that the compression's own tool appends.
std::string_view without_suffix(std::string_view name, ForeignMagic compression);

}  // namespace drseed::seed
