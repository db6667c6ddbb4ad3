#include "seed/filter_source.h"

#include <cassert>

#include "seed/lz4_frames.h"

namespace drseed::seed {
namespace {

int filter_code(ForeignMagic compression) {
  switch (compression) {
    case ForeignMagic::kXz:
      return ARCHIVE_FILTER_XZ;
    case ForeignMagic::kBzip2:
      return ARCHIVE_FILTER_BZIP2;
    case ForeignMagic::kZstd:
      return ARCHIVE_FILTER_ZSTD;
    case ForeignMagic::kLz4:
      return ARCHIVE_FILTER_LZ4;
    default:
      assert(false);
      return ARCHIVE_FILTER_NONE;
  }
}

}  // namespace

FilterSource::FilterSource(std::unique_ptr<ByteSource> compressed, ForeignMagic compression, std::string name)
    : input_(std::move(compressed), std::move(name)), compression_(compression) {}

Result<std::unique_ptr<FilterSource>> FilterSource::open(std::unique_ptr<ByteSource> compressed,
                                                         ForeignMagic compression, std::string name) {
  if (compression == ForeignMagic::kLz4) compressed = std::make_unique<Lz4Frames>(std::move(compressed), name);
  std::unique_ptr<FilterSource> source(new FilterSource(std::move(compressed), compression, std::move(name)));
  DRSEED_TRY(source->start());
  return source;
}

Result<> FilterSource::start() {
  archive* handle = input_.get();
  // Both are set, not guessed: what comes out is not searched for more layers, and damage at the beginning is not
  // taken for an empty archive.
  const int filter = archive_read_append_filter(handle, filter_code(compression_));
  const int format = archive_read_set_format(handle, ARCHIVE_FORMAT_RAW);
  if (filter != ARCHIVE_OK || format != ARCHIVE_OK) {
    return fail(ErrorCode::kEnvironment, "{}: libarchive cannot read {}", input_.name(), name_of(compression_));
  }
  DRSEED_TRY(input_.open());
  archive_entry* entry = nullptr;
  const int result = archive_read_next_header(handle, &entry);
  if (result != ARCHIVE_OK) return tl::unexpected(input_.error(fmt::format("{} data damaged", name_of(compression_))));
  return {};
}

Result<> FilterSource::check_end() {
  DRSEED_TRY(input_.source_error());
  const auto used_bytes = input_.consumed_bytes();
  if (used_bytes == input_.given_bytes() && DRSEED_TRY(input_.at_end())) return {};
  return fail(ErrorCode::kDiffers, "{}: {} data damaged or cut, or trailing garbage, near compressed byte {}",
              input_.name(), name_of(compression_), used_bytes);
}

Result<std::size_t> FilterSource::read(std::span<std::uint8_t> bytes) {
  if (ended_ || bytes.empty()) return 0;
  const la_ssize_t got = archive_read_data(input_.get(), bytes.data(), bytes.size());
  if (got < 0) return tl::unexpected(input_.error(fmt::format("{} data damaged or truncated", name_of(compression_))));
  if (got == 0) {
    DRSEED_TRY(check_end());
    ended_ = true;
  }
  return static_cast<std::size_t>(got);
}

}  // namespace drseed::seed
