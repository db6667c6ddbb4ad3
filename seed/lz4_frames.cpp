#include "seed/lz4_frames.h"

#include <algorithm>
#include <array>

namespace drseed::seed {
namespace {

constexpr std::size_t kInputBytes = 65536;
constexpr std::uint32_t kMagic = 0x184D2204;
constexpr std::uint32_t kSkippableMagic = 0x184D2A50;  // the last four bits are free
constexpr std::uint32_t kLegacyMagic = 0x184C2102;
constexpr std::uint32_t kStoredFlag = 0x80000000;  // in a block's size
constexpr std::uint32_t kBlockBytesMax = 4 << 20;
constexpr std::uint32_t kXxh32OfNothing = 0x02CC5D05;
constexpr std::uint8_t kBlockChecksumFlag = 0x10, kContentSizeFlag = 0x08, kContentChecksumFlag = 0x04,
                       kDictFlag = 0x01;

void append_word(std::vector<std::uint8_t>& bytes, std::uint32_t word) {
  for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<std::uint8_t>(word >> shift));
}

}  // namespace

Lz4Frames::Lz4Frames(std::unique_ptr<ByteSource> compressed, std::string name)
    : compressed_(std::move(compressed)), name_(std::move(name)) {}

tl::unexpected<Error> Lz4Frames::damaged(std::string_view what) const {
  return fail(ErrorCode::kDiffers, "{}: lz4 data {} at compressed byte {}", name_, what, taken_bytes_);
}

Result<std::size_t> Lz4Frames::take(std::span<std::uint8_t> bytes) {
  if (input_used_ == input_.size()) {
    input_.resize(kInputBytes);
    input_used_ = 0;
    auto got = compressed_->read(input_);
    input_.resize(got.value_or(0));
    if (!got) return got;
  }
  const std::size_t got = std::min(bytes.size(), input_.size() - input_used_);
  std::copy_n(input_.begin() + static_cast<std::ptrdiff_t>(input_used_), got, bytes.begin());
  input_used_ += got;
  taken_bytes_ += got;
  return got;
}

Result<> Lz4Frames::take_all(std::span<std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const std::size_t got = DRSEED_TRY(take(bytes));
    if (got == 0) return damaged("truncated: it ends");
    bytes = bytes.subspan(got);
  }
  return {};
}

Result<std::uint32_t> Lz4Frames::take_word() {
  std::array<std::uint8_t, 4> bytes{};
  DRSEED_TRY(take_all(bytes));
  return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | std::uint32_t{bytes[3]} << 24;
}

Result<> Lz4Frames::skip(std::uint64_t length) {
  std::array<std::uint8_t, 4096> bytes{};
  while (length > 0) {
    const auto part = std::min<std::uint64_t>(length, bytes.size());
    DRSEED_TRY(take_all(std::span(bytes).first(static_cast<std::size_t>(part))));
    length -= part;
  }
  return {};
}

Result<> Lz4Frames::next_frame() {
  std::array<std::uint8_t, 1> first{};
  if (DRSEED_TRY(take(first)) == 0) {
    at_ = At::kEnd;
    return {};
  }
  std::array<std::uint8_t, 3> rest{};
  DRSEED_TRY(take_all(rest));
  const std::uint32_t magic = first[0] | rest[0] << 8 | rest[1] << 16 | std::uint32_t{rest[2]} << 24;
  if ((magic & ~0xfu) == kSkippableMagic) return skip(DRSEED_TRY(take_word()));
  if (magic == kLegacyMagic) return damaged("in the legacy format, which has no check,");
  if (magic != kMagic) return damaged("followed by garbage, or damaged,");

  std::array<std::uint8_t, 2> flags{};
  DRSEED_TRY(take_all(flags));
  block_checksums_ = (flags[0] & kBlockChecksumFlag) != 0;
  content_checksum_ = (flags[0] & kContentChecksumFlag) != 0;
  frame_empty_ = true;
  const std::size_t optional_bytes =
      ((flags[0] & kContentSizeFlag) != 0 ? 8 : 0) + ((flags[0] & kDictFlag) != 0 ? 4 : 0);
  std::vector<std::uint8_t> descriptor(optional_bytes + 1);  // with its checksum
  DRSEED_TRY(take_all(descriptor));
  header_.clear();
  append_word(header_, kMagic);
  header_.insert(header_.end(), flags.begin(), flags.end());
  header_.insert(header_.end(), descriptor.begin(), descriptor.end());
  at_ = At::kBlock;
  return {};
}

// header_ holds the frame's header while the frame is empty so far.
Result<> Lz4Frames::next_block() {
  const std::uint32_t size = DRSEED_TRY(take_word());
  if (size == 0) return after_blocks();
  if ((size & ~kStoredFlag) > kBlockBytesMax) return damaged("damaged: a block of impossible size");
  append_word(header_, size);
  body_bytes_ = (size & ~kStoredFlag) + (block_checksums_ ? sizeof(std::uint32_t) : 0);
  frame_empty_ = false;
  return {};
}

Result<> Lz4Frames::after_blocks() {
  append_word(header_, 0);
  if (content_checksum_) {
    const std::uint32_t checksum = DRSEED_TRY(take_word());
    if (frame_empty_ && checksum != kXxh32OfNothing) return damaged("damaged: the checksum of an empty frame is wrong");
    append_word(header_, checksum);
  }
  if (frame_empty_) header_.clear();
  at_ = At::kFrame;
  return {};
}

Result<std::size_t> Lz4Frames::read(std::span<std::uint8_t> bytes) {
  const auto waiting = [this] { return !header_.empty() && (at_ != At::kBlock || !frame_empty_); };
  while (at_ != At::kEnd && !waiting() && body_bytes_ == 0) {
    if (at_ == At::kFrame) {
      DRSEED_TRY(next_frame());
    } else {
      DRSEED_TRY(next_block());
    }
  }
  if (waiting()) {
    const std::size_t got = std::min(bytes.size(), header_.size());
    std::copy_n(header_.begin(), got, bytes.begin());
    header_.erase(header_.begin(), header_.begin() + static_cast<std::ptrdiff_t>(got));
    return got;
  }
  if (body_bytes_ == 0) return 0;
  const std::size_t part = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), body_bytes_));
  const std::size_t got = DRSEED_TRY(take(bytes.first(part)));
  if (got == 0) return damaged("truncated: it ends");
  body_bytes_ -= got;
  return got;
}

}  // namespace drseed::seed
