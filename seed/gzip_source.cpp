#include "seed/gzip_source.h"

#include <algorithm>
#include <cassert>
#include <limits>

namespace drseed::seed {
namespace {

constexpr std::size_t kInputBytes = 65536;
constexpr int kGzipOnly = 16 + MAX_WBITS;  // inflateInit2: expect a gzip header, check its trailer

}  // namespace

GzipSource::GzipSource(std::unique_ptr<ByteSource> compressed, std::string name)
    : compressed_(std::move(compressed)), name_(std::move(name)), input_(kInputBytes) {
  [[maybe_unused]] const int result = inflateInit2(&stream_, kGzipOnly);
  assert(result == Z_OK);  // else out of memory
}

GzipSource::~GzipSource() {
  inflateEnd(&stream_);
}

// Makes input available, unless the compressed stream has ended.
Result<> GzipSource::fill() {
  if (stream_.avail_in > 0) return {};
  const std::size_t got = DRSEED_TRY(compressed_->read(input_));
  taken_bytes_ += got;
  stream_.next_in = input_.data();
  stream_.avail_in = static_cast<uInt>(got);
  return {};
}

Result<> GzipSource::after_member() {
  if (stream_.avail_in == 0) {
    at_ = At::kEnd;
  } else if (*stream_.next_in == 0) {
    at_ = At::kPadding;
  } else {
    inflateReset(&stream_);
    at_ = At::kMember;
  }
  return {};
}

Result<> GzipSource::padding() {
  const auto* end = stream_.next_in + stream_.avail_in;
  const auto* other = std::find_if(stream_.next_in, stream_.next_in + stream_.avail_in, [](Bytef b) { return b != 0; });
  if (other != end) {
    return fail(ErrorCode::kDiffers, "{}: trailing garbage after the gzip data and its padding, at compressed byte {}",
                name_, taken_bytes_ - static_cast<std::uint64_t>(end - other));
  }
  if (stream_.avail_in == 0) at_ = At::kEnd;
  stream_.avail_in = 0;
  return {};
}

Result<std::size_t> GzipSource::inflate_some(std::span<std::uint8_t> bytes) {
  if (stream_.avail_in == 0) {
    return fail(ErrorCode::kDiffers, "{}: gzip data truncated, it ends at compressed byte {}", name_, taken_bytes_);
  }
  const bool fresh = stream_.total_in == 0 && at_ != At::kFirstMember;
  const auto room = static_cast<uInt>(std::min<std::size_t>(bytes.size(), std::numeric_limits<uInt>::max()));
  stream_.next_out = bytes.data();
  stream_.avail_out = room;
  const int result = inflate(&stream_, Z_NO_FLUSH);
  if (result == Z_STREAM_END) {
    at_ = At::kAfterMember;
  } else if (result != Z_OK) {
    const char* reason = stream_.msg != nullptr ? stream_.msg : zError(result);
    return fail(ErrorCode::kDiffers, "{}: gzip data damaged at compressed byte {}: {}{}", name_, position_bytes(),
                reason, fresh ? " (trailing garbage, or a damaged member)" : "");
  }
  return room - stream_.avail_out;
}

Result<std::size_t> GzipSource::read(std::span<std::uint8_t> bytes) {
  if (bytes.empty()) return 0;
  while (at_ != At::kEnd) {
    DRSEED_TRY(fill());
    if (at_ == At::kAfterMember) {
      DRSEED_TRY(after_member());
    } else if (at_ == At::kPadding) {
      DRSEED_TRY(padding());
    } else {
      const std::size_t got = DRSEED_TRY(inflate_some(bytes));
      if (got > 0) return got;
    }
  }
  return 0;
}

}  // namespace drseed::seed
