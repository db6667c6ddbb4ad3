#include "seed/foreign.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/printable.h"
#include "seed/archive_survey.h"
#include "seed/filter_source.h"
#include "seed/foreign_magic.h"
#include "seed/gzip_source.h"
#include "seed/member_source.h"

namespace drseed::seed {
namespace {

// Both the formats' skippable frames and a tar header fit in it.
constexpr std::size_t kLookAheadBytes = 4096;
static_assert(kLookAheadBytes >= kForeignMagicBytes);

// A stream whose beginning has been looked at.
class LookedAtSource : public ByteSource {
 public:
  LookedAtSource(std::vector<std::uint8_t> start, std::unique_ptr<ByteSource> rest)
      : start_(std::move(start)), rest_(std::move(rest)) {}
  Result<std::size_t> read(std::span<std::uint8_t> bytes) override {
    if (used_ == start_.size()) return rest_->read(bytes);
    const std::size_t got = std::min(bytes.size(), start_.size() - used_);
    std::copy_n(start_.begin() + static_cast<std::ptrdiff_t>(used_), got, bytes.begin());
    used_ += got;
    return got;
  }

 private:
  const std::vector<std::uint8_t> start_;
  const std::unique_ptr<ByteSource> rest_;
  std::size_t used_ = 0;
};

struct Recognised {
  std::unique_ptr<ByteSource> bytes;
  ForeignMagic magic;
};

Result<Recognised> look_at(std::unique_ptr<ByteSource> source) {
  std::vector<std::uint8_t> start(kLookAheadBytes);
  start.resize(DRSEED_TRY(read_full(*source, start)));
  const auto magic = recognise_foreign(start);
  return Recognised{std::make_unique<LookedAtSource>(std::move(start), std::move(source)), magic};
}

Result<std::unique_ptr<ByteSource>> decompress(std::unique_ptr<ByteSource> source, ForeignMagic magic,
                                               const std::string& name) {
  if (magic == ForeignMagic::kGzip) return std::make_unique<GzipSource>(std::move(source), name);
  return FilterSource::open(std::move(source), magic, name);
}

tl::unexpected<Error> legacy_lz4(const std::string& name) {
  return fail(ErrorCode::kUsage,
              "{}: compressed with lz4's legacy format, which has no check and no end; decompress it with lz4 first",
              name);
}

std::string base_name(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

std::optional<std::uint64_t> file_size(int fd) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return std::nullopt;
  if (S_ISREG(status.st_mode)) return static_cast<std::uint64_t>(status.st_size);
  std::uint64_t size_bytes = 0;
  if (S_ISBLK(status.st_mode) && ioctl(fd, BLKGETSIZE64, &size_bytes) == 0) return size_bytes;
  return std::nullopt;
}

// Where the next byte that read() would return is in the file; nothing for a pipe.
std::optional<std::uint64_t> file_position(const FdSource& source) {
  const off_t position = lseek(source.fd(), 0, SEEK_CUR);
  if (position < 0 || !file_size(source.fd())) return std::nullopt;
  return static_cast<std::uint64_t>(position) -
         std::min<std::uint64_t>(source.ahead_bytes(), static_cast<std::uint64_t>(position));
}

// The disk in a tar or zip. `around` is what the archive itself is compressed with: " in gzip", or nothing.
Result<ForeignImage> open_archive(std::unique_ptr<ByteSource> source, ForeignMagic kind, const std::string& name,
                                  const std::string& around) {
  auto member = DRSEED_TRY(MemberSource::open(std::move(source), kind, name, !around.empty()));
  const std::string member_name = member->member_name();
  const auto member_size_bytes = member->size_bytes();
  const auto shown_name = printable(member_name);
  auto inner = DRSEED_TRY(look_at(std::move(member)));
  const auto format = [&](std::string_view content) {
    return fmt::format("{} in {}{} ({})", content, name_of(kind), around, shown_name);
  };
  if (inner.magic == ForeignMagic::kLz4Legacy) return legacy_lz4(fmt::format("{}: '{}'", name, shown_name));
  if (!is_compression(inner.magic)) {
    return ForeignImage{std::move(inner.bytes), format("raw"), member_size_bytes, member_name};
  }
  auto plain = DRSEED_TRY(decompress(std::move(inner.bytes), inner.magic, fmt::format("{}: '{}'", name, shown_name)));
  return ForeignImage{std::move(plain), format(name_of(inner.magic)), std::nullopt,
                      std::string(without_suffix(member_name, inner.magic))};
}

}  // namespace

Result<ForeignImage> open_foreign(std::unique_ptr<FdSource> source) {
  const std::string name = source->name();
  const auto magic = recognise_foreign(DRSEED_TRY(source->peek(kLookAheadBytes)));
  const auto position_bytes = file_position(*source);
  if (magic == ForeignMagic::kLz4Legacy) return legacy_lz4(name);
  if (magic == ForeignMagic::kEmptyZip) return no_file(name);
  if (magic == ForeignMagic::kRaw) {
    std::optional<std::uint64_t> size_bytes;
    if (position_bytes) size_bytes = *file_size(source->fd()) - std::min(*file_size(source->fd()), *position_bytes);
    return ForeignImage{std::move(source), "raw", size_bytes, base_name(name)};
  }
  if (magic == ForeignMagic::kTar || magic == ForeignMagic::kZip) {
    if (position_bytes) DRSEED_TRY(expect_one_regular_file(source->fd(), *position_bytes, magic, name));
    return open_archive(std::move(source), magic, name, "");
  }
  const std::string compression(name_of(magic));
  auto decompressed = DRSEED_TRY(decompress(std::move(source), magic, name));
  auto plain = DRSEED_TRY(look_at(std::move(decompressed)));
  if (plain.magic == ForeignMagic::kTar) {
    return open_archive(std::move(plain.bytes), plain.magic, name, " in " + compression);
  }
  return ForeignImage{std::move(plain.bytes), compression, std::nullopt,
                      base_name(std::string(without_suffix(name, magic)))};
}

}  // namespace drseed::seed
