#pragma once
// drseed/header.json and drseed/trailer.json: what an image says of itself first, and what proves it last
// (seed/FORMAT.md).
//
// Decoding refuses what is missing, of the wrong type, out of limits or of an unknown version; fields it does not know
// are passed over, so that a later minor writer stays readable.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "seed/image_format.h"

namespace drseed::seed {

// The disk that was imaged, as far as it was known; texts are empty where it was not.
struct SourceFacts {
  std::string path;
  std::string host;
  std::uint32_t logical_sector_bytes = 512;
  std::uint32_t physical_sector_bytes = 512;
  std::string model, serial, by_id;
  std::string filesystem_type, filesystem_uuid, filesystem_label;
  std::string partition_table_type, partition_table_uuid;
  bool operator==(const SourceFacts&) const = default;
};

struct ImageHeader {
  Id image_id;
  std::uint64_t created_seconds = 0;  // since 1970; every member's mtime
  std::string writer;                 // "drseed 0.1.0"
  SourceFacts source;
  std::uint64_t disk_bytes = 0;
  std::uint32_t segment_bytes = kSegmentBytesDefault;
  Codec codec = Codec::kZstd;
  int level = 1;
  std::uint32_t volume = 1;              // which one this is, from 1
  std::uint64_t volume_bytes = 0;        // the most that a volume takes; 0: not split
  std::uint64_t range_offset_bytes = 0;  // where this volume's part of the disk begins
  std::vector<std::string>
      whole_disk_digests;  // "md5", "sha256": asked for with the image, so that --resume keeps them
  std::string note;
  nlohmann::json passport;  // null, or an object that a mirror's seed fills in (design.md section 9)

  bool operator==(const ImageHeader&) const = default;
};

// JSON that holds a SHA-256 of itself.
std::string encode_header(const ImageHeader& header);
Result<ImageHeader> decode_header(std::string_view text);

struct ImageTrailer {
  Id image_id;
  std::uint64_t disk_bytes = 0;
  std::uint32_t segment_bytes = 0;
  Codec codec = Codec::kZstd;
  std::uint32_t volume = 1;
  std::uint32_t volumes = 0;  // 0: not known when this volume was finished (its last one says)
  bool last = true;           // no volume follows
  Range range;                // of the disk, that this volume holds
  std::uint64_t data_segments = 0;
  std::uint64_t first_ordinal = 0;
  std::uint64_t data_bytes = 0;  // plain
  std::uint64_t stored_bytes = 0;
  std::uint64_t unreadable_bytes = 0;
  std::uint64_t index_position_bytes = 0;  // of the content of drseed/index
  std::uint64_t index_bytes = 0;
  std::uint64_t data_end_position_bytes = 0;  // of the member after the data
  Digest256 header_sha256{}, sums_sha256{}, index_sha256{}, restore_sha256{};
  std::uint64_t header_bytes = 0, sums_bytes = 0, restore_bytes = 0;
  Digest256 merkle_root{};                     // of this volume's segments
  std::optional<Digest256> image_merkle_root;  // of all segments: in the last volume
  std::optional<std::string> md5, sha256;      // of the whole disk, in hexadecimal: in the last volume, where asked for

  bool operator==(const ImageTrailer&) const = default;
};

// Exactly kTrailerBytes of JSON, padded with spaces; holds a SHA-256 of itself.
std::string encode_trailer(const ImageTrailer& trailer);
Result<ImageTrailer> decode_trailer(std::string_view text);

}  // namespace drseed::seed
