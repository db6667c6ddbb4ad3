#include "seed/archive_input.h"

#include <algorithm>
#include <cassert>
#include <cerrno>

#include "base/printable.h"

namespace drseed::seed {
namespace {

constexpr std::size_t kBufferBytes = 65536;

}  // namespace

ArchiveInput::ArchiveInput(std::unique_ptr<ByteSource> source, std::string name)
    : source_(std::move(source)), name_(std::move(name)), buffer_(kBufferBytes), archive_(archive_read_new()) {
  assert(archive_ != nullptr);  // else out of memory
}

Result<> ArchiveInput::open() {
  const int result = archive_read_open(archive_.get(), this, nullptr, on_read, nullptr);
  if (result != ARCHIVE_OK) return tl::unexpected(error("cannot be read"));
  return {};
}

Result<std::span<const std::uint8_t>> ArchiveInput::next() {
  DRSEED_TRY(source_error());
  auto got = source_->read(buffer_);
  if (!got) {
    source_error_ = got.error();
    return tl::unexpected(std::move(got).error());
  }
  const auto bytes = std::span<const std::uint8_t>(buffer_).first(*got);
  given_bytes_ += bytes.size();
  if (tail_bytes_ > 0) {
    tail_.insert(tail_.end(), bytes.begin(), bytes.end());
    if (tail_.size() > tail_bytes_) tail_.erase(tail_.begin(), tail_.end() - static_cast<std::ptrdiff_t>(tail_bytes_));
  }
  return bytes;
}

la_ssize_t ArchiveInput::on_read(archive* handle, void* self, const void** bytes) {
  auto& input = *static_cast<ArchiveInput*>(self);
  auto chunk = input.next();
  if (!chunk) {
    archive_set_error(handle, EIO, "the source cannot be read");
    return ARCHIVE_FATAL;
  }
  *bytes = chunk->data();
  return static_cast<la_ssize_t>(chunk->size());
}

Result<> ArchiveInput::source_error() const {
  if (source_error_) return tl::unexpected(*source_error_);
  return {};
}

Result<> ArchiveInput::drain() {
  while (!DRSEED_TRY(at_end())) continue;
  return {};
}

Result<bool> ArchiveInput::at_end() {
  return DRSEED_TRY(next()).empty();
}

Error ArchiveInput::error(std::string_view what) const {
  if (source_error_) return *source_error_;
  const char* reason = archive_error_string(archive_.get());
  return Error{ErrorCode::kDiffers, 0,
               fmt::format("{}: {} at byte {}: {}", name_, what, std::min(consumed_bytes(), given_bytes_),
                           printable(reason != nullptr ? reason : "no reason given"))};
}

}  // namespace drseed::seed
