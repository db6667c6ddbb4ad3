#include "seed/segment_prover.h"

#include "base/hex.h"

namespace drseed::seed {

Result<> SegmentProver::prove(const StoredSegment& segment, std::span<std::uint8_t> plain) {
  const auto found = xxh128(segment.stored());
  if (found != segment.xxh128) {
    return fail(ErrorCode::kDiffers, "stored bytes do not match their digest (expected xxh128 {}, found {})",
                to_hex(segment.xxh128), to_hex(found));
  }
  DRSEED_TRY(decompressor_.decompress(segment.codec, segment.stored(), plain));
  hasher_.update(plain);
  const auto digest = hasher_.finish();
  if (digest != segment.sha256) {
    return fail(ErrorCode::kDiffers, "content does not match its digest (expected sha256 {}, found {})",
                to_hex(segment.sha256), to_hex(digest));
  }
  return {};
}

}  // namespace drseed::seed
