#pragma once
// Proves one stored segment: the stored bytes by XXH3-128, then the plain bytes by SHA-256. One thread an object.

#include "base/digest.h"
#include "seed/codec.h"
#include "seed/stored_segment.h"

namespace drseed::seed {

class SegmentProver {
 public:
  // Fills `plain`, of segment.range.length_bytes. kDiffers says what does not match; `plain` is then of no use.
  Result<> prove(const StoredSegment& segment, std::span<std::uint8_t> plain);

 private:
  SegmentDecompressor decompressor_;
  Sha256 hasher_;
};

}  // namespace drseed::seed
