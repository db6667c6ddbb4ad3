#include "seed/member_source.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <limits>

#include "base/printable.h"
#include "seed/archive_survey.h"

namespace drseed::seed {
namespace {

constexpr std::uint64_t kSmallMemberBytes = 1 << 20;
constexpr std::size_t kTarBlockBytes = 512;
// A zip ends with a record of 22 bytes and a comment of up to 65535, whose length is the record's last field.
constexpr std::size_t kZipEndBytes = 22;
constexpr std::size_t kZipCommentMax = 65535;

bool has_zip_end(std::span<const std::uint8_t> tail) {
  constexpr std::array<std::uint8_t, 4> kMagic{'P', 'K', 5, 6};
  for (std::size_t comment = 0; comment <= kZipCommentMax && comment + kZipEndBytes <= tail.size(); ++comment) {
    const auto record = tail.subspan(tail.size() - comment - kZipEndBytes);
    const std::size_t length = record[kZipEndBytes - 2] | record[kZipEndBytes - 1] << 8;
    if (length == comment && std::equal(kMagic.begin(), kMagic.end(), record.begin())) return true;
  }
  return false;
}

}  // namespace

MemberSource::MemberSource(std::unique_ptr<ByteSource> source, ForeignMagic archive_kind, std::string name,
                           bool to_the_end)
    : input_(std::move(source), std::move(name)), kind_(archive_kind), to_the_end_(to_the_end) {
  assert(kind_ == ForeignMagic::kTar || kind_ == ForeignMagic::kZip);
}

Result<std::unique_ptr<MemberSource>> MemberSource::open(std::unique_ptr<ByteSource> source, ForeignMagic archive_kind,
                                                         std::string name, bool to_the_end) {
  std::unique_ptr<MemberSource> member(new MemberSource(std::move(source), archive_kind, std::move(name), to_the_end));
  DRSEED_TRY(member->start());
  return member;
}

Result<> MemberSource::start() {
  archive* handle = input_.get();
  if (kind_ == ForeignMagic::kTar) {
    archive_read_support_format_tar(handle);
    archive_read_set_format_option(handle, "tar", "hdrcharset", "BINARY");
  } else {
    archive_read_support_format_zip_streamable(handle);
    input_.keep_tail(kZipEndBytes + kZipCommentMax);
  }
  DRSEED_TRY(input_.open());
  archive_entry* entry = DRSEED_TRY(next_regular());
  if (entry == nullptr) {
    DRSEED_TRY(check_end());
    return no_file(input_.name());
  }
  member_name_ = entry_name(entry);
  if (archive_entry_is_data_encrypted(entry) == 1) {
    return fail(ErrorCode::kUsage, "{}: '{}' is encrypted; decrypt it first", input_.name(), printable(member_name_));
  }
  if (kind_ == ForeignMagic::kZip) {
    const std::string_view format = archive_format_name(handle);
    if (!format.ends_with("(uncompressed)") && !format.ends_with("(deflation)")) {
      return fail(ErrorCode::kUsage, "{}: '{}' is neither stored nor deflated, but {}", input_.name(),
                  printable(member_name_), format);
    }
  }
  sparse_ = archive_entry_sparse_count(entry) > 0;
  if (archive_entry_size_is_set(entry) != 0) size_bytes_ = static_cast<std::uint64_t>(archive_entry_size(entry));
  if (size_bytes_ > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return fail(ErrorCode::kDiffers, "{}: '{}' has a negative size", input_.name(), printable(member_name_));
  }
  return size_bytes_ && *size_bytes_ <= kSmallMemberBytes ? read_small() : Result<>{};
}

// A small file in front of others must not reach the disk before they are seen.
Result<> MemberSource::read_small() {
  std::vector<std::uint8_t> whole(*size_bytes_ + 1);
  whole.resize(DRSEED_TRY(read_full(*this, whole)));
  delivered_bytes_ = 0;
  small_ = std::move(whole);
  return {};
}

// Null at the end of the archive.
Result<archive_entry*> MemberSource::next_regular() {
  for (;;) {
    archive_entry* entry = nullptr;
    before_header_bytes_ = input_.consumed_bytes();
    const int result = archive_read_next_header(input_.get(), &entry);
    if (result == ARCHIVE_EOF) return nullptr;
    // A warning is about names and attributes, which do not matter here.
    if (result != ARCHIVE_OK && result != ARCHIVE_WARN) {
      return tl::unexpected(input_.error(fmt::format("{} damaged or truncated", name_of(kind_))));
    }
    if (is_regular_file(entry)) return entry;
  }
}

// False at the end of the member.
Result<bool> MemberSource::next_block() {
  const void* bytes = nullptr;
  std::size_t length = 0;
  la_int64_t offset = 0;
  const int result = archive_read_data_block(input_.get(), &bytes, &length, &offset);
  if (result == ARCHIVE_EOF) return false;
  // A warning, too: a zip's wrong CRC or length is no more than that to libarchive.
  if (result != ARCHIVE_OK) {
    return tl::unexpected(input_.error(fmt::format("{} member damaged or truncated", name_of(kind_))));
  }
  if (offset < 0 || static_cast<std::uint64_t>(offset) < delivered_bytes_) {
    return fail(ErrorCode::kDiffers, "{}: {} member out of order at its byte {}", input_.name(), name_of(kind_),
                offset);
  }
  block_ = {static_cast<const std::uint8_t*>(bytes), length};
  block_offset_bytes_ = static_cast<std::uint64_t>(offset);
  return true;
}

Result<std::size_t> MemberSource::read_member(std::span<std::uint8_t> bytes) {
  while (!ended_ && block_.empty() && block_offset_bytes_ <= delivered_bytes_) {
    if (DRSEED_TRY(next_block())) continue;
    // What a sparse file's map leaves out at its end is a hole; anything else is missing.
    if (sparse_ && size_bytes_ && delivered_bytes_ < *size_bytes_) {
      block_offset_bytes_ = *size_bytes_;
    } else {
      DRSEED_TRY(finish());
      ended_ = true;
    }
  }
  if (ended_) return 0;
  std::size_t got = 0;
  if (block_offset_bytes_ > delivered_bytes_) {
    got = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), block_offset_bytes_ - delivered_bytes_));
    std::fill_n(bytes.begin(), got, 0);
  } else {
    got = std::min(bytes.size(), block_.size());
    std::copy_n(block_.begin(), got, bytes.begin());
    block_ = block_.subspan(got);
    block_offset_bytes_ += got;
  }
  delivered_bytes_ += got;
  if (size_bytes_ && delivered_bytes_ > *size_bytes_) {
    return fail(ErrorCode::kDiffers, "{}: '{}' is longer than the {} bytes its header says", input_.name(),
                printable(member_name_), *size_bytes_);
  }
  return got;
}

Result<std::size_t> MemberSource::read(std::span<std::uint8_t> bytes) {
  if (bytes.empty()) return 0;
  if (!small_) return read_member(bytes);
  const auto got = std::min<std::size_t>(bytes.size(), small_->size() - delivered_bytes_);
  std::copy_n(small_->begin() + static_cast<std::ptrdiff_t>(delivered_bytes_), got, bytes.begin());
  delivered_bytes_ += got;
  return got;
}

Result<> MemberSource::finish() {
  if (size_bytes_ && delivered_bytes_ != *size_bytes_) {
    return fail(ErrorCode::kDiffers, "{}: '{}' has {} bytes, its header says {}", input_.name(),
                printable(member_name_), delivered_bytes_, *size_bytes_);
  }
  archive_entry* second = DRSEED_TRY(next_regular());
  if (second != nullptr) return several_files(input_.name(), {member_name_, entry_name(second)});
  return check_end();
}

Result<> MemberSource::check_end() {
  DRSEED_TRY(input_.source_error());
  if (kind_ == ForeignMagic::kTar) {
    // The last header asked for was padding of less than a block and the end mark, which is at least one.
    if (input_.consumed_bytes() - before_header_bytes_ < kTarBlockBytes) {
      return fail(ErrorCode::kDiffers, "{}: tar truncated at byte {}: no end-of-archive mark", input_.name(),
                  input_.consumed_bytes());
    }
    return to_the_end_ ? input_.drain() : Result<>{};
  }
  DRSEED_TRY(input_.drain());
  if (has_zip_end(input_.tail())) return {};
  return fail(ErrorCode::kDiffers, "{}: zip truncated at byte {}: no end of its directory", input_.name(),
              input_.given_bytes());
}

}  // namespace drseed::seed
