#pragma once
// A stretch of the disk as an image delivers it, still compressed and unproven; and who delivers it.

#include <optional>
#include <string>
#include <vector>

#include "block/buffer_pool.h"
#include "seed/image_meta.h"

namespace drseed::seed {

struct StoredSegment {
  enum class Kind {
    kData,     // one segment; `stored()` is what must prove itself by both digests
    kZeros,    // one run of zeros, of any length
    kDamaged,  // the image does not hold this range, or what holds it cannot be read; `problem` says why
  };

  Kind kind = Kind::kDamaged;
  Range range;  // of the disk
  Codec codec = Codec::kNone;
  Digest256 sha256{};  // of the plain bytes
  Digest128 xxh128{};  // of the stored bytes
  block::Buffer buffer;
  std::size_t stored_at = 0;  // in the buffer
  std::uint32_t stored_bytes = 0;
  std::vector<Range> unreadable;
  std::string problem;  // kData: what is wrong around the segment, which may still prove itself
  std::uint32_t volume = 0;
  std::uint64_t position_bytes = 0;  // of the payload in the volume

  std::span<const std::uint8_t> stored() const { return {buffer.data() + stored_at, stored_bytes}; }
};

// Delivers one volume's range of the disk, ascending and without a gap.
class VolumeReader {
 public:
  virtual ~VolumeReader() = default;
  virtual Result<std::optional<StoredSegment>> next() = 0;
  virtual const ImageHeader& header() const = 0;
  // Nothing where the trailer is missing, damaged, or not reached yet.
  virtual const std::optional<ImageTrailer>& trailer() const = 0;
  // What is wrong with the volume apart from single segments; complete after next() has returned nothing.
  virtual const std::vector<std::string>& problems() const = 0;
};

// What a buffer must hold: everything of one segment's members, of an image with such segments.
constexpr std::size_t segment_region_bytes_max(std::uint32_t segment_bytes) {
  return segment_bytes + segment_bytes / 64 + 2 * kRecordBytesMax;
}

}  // namespace drseed::seed
