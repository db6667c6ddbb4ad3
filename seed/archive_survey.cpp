#include "seed/archive_survey.h"

#include <archive.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <memory>

#include "base/printable.h"
#include "seed/archive_input.h"

namespace drseed::seed {
namespace {

constexpr std::size_t kNamesMax = 5;  // in a message
constexpr std::size_t kBufferBytes = 65536;

// A part of a file in which libarchive seeks, by pread.
class Window {
 public:
  Window(int fd, std::uint64_t start_bytes) : fd_(fd), start_(static_cast<std::int64_t>(start_bytes)) {
    const off_t before = lseek(fd, 0, SEEK_CUR);
    size_ = lseek(fd, 0, SEEK_END) - start_;  // a block device's, too
    lseek(fd, before, SEEK_SET);
  }

  int read_errno() const { return read_errno_; }

  static la_ssize_t on_read(archive* handle, void* self, const void** bytes) {
    auto& window = *static_cast<Window*>(self);
    ssize_t got = 0;
    do {
      got = pread(window.fd_, window.buffer_.data(), window.buffer_.size(), window.start_ + window.position_);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
      window.read_errno_ = errno;
      archive_set_error(handle, errno, "cannot be read");
      return ARCHIVE_FATAL;
    }
    window.position_ += got;
    *bytes = window.buffer_.data();
    return got;
  }

  // Never past the end: libarchive must meet it by reading.
  static la_int64_t on_skip(archive*, void* self, la_int64_t length) {
    auto& window = *static_cast<Window*>(self);
    const auto skipped =
        std::clamp<std::int64_t>(length, 0, std::max<std::int64_t>(0, window.size_ - window.position_));
    window.position_ += skipped;
    return skipped;
  }

  static la_int64_t on_seek(archive*, void* self, la_int64_t offset, int whence) {
    auto& window = *static_cast<Window*>(self);
    const std::int64_t base = whence == SEEK_END ? window.size_ : whence == SEEK_CUR ? window.position_ : 0;
    if (offset < -base || offset > window.size_ - base) return ARCHIVE_FATAL;
    return window.position_ = base + offset;
  }

 private:
  const int fd_;
  const std::int64_t start_;
  std::int64_t size_ = 0;
  std::int64_t position_ = 0;
  int read_errno_ = 0;
  std::vector<std::uint8_t> buffer_ = std::vector<std::uint8_t>(kBufferBytes);
};

struct Free {
  void operator()(archive* handle) const { archive_read_free(handle); }
};

}  // namespace

std::string entry_name(archive_entry* entry) {
  const char* name = archive_entry_pathname(entry);
  if (name == nullptr) name = archive_entry_pathname_utf8(entry);  // not in the locale's character set
  return name != nullptr ? name : "?";
}

bool is_regular_file(archive_entry* entry) {
  return archive_entry_filetype(entry) == AE_IFREG && archive_entry_hardlink(entry) == nullptr;
}

tl::unexpected<Error> no_file(const std::string& archive_name) {
  return fail(ErrorCode::kUsage, "{}: holds no regular file; exactly one is expected, the disk", archive_name);
}

tl::unexpected<Error> several_files(const std::string& archive_name, const std::vector<std::string>& members) {
  std::string list;
  for (std::size_t i = 0; i < std::min(members.size(), kNamesMax); ++i) {
    list += (i == 0 ? "'" : ", '") + printable(members[i]) + "'";
  }
  if (members.size() > kNamesMax) list += ", ...";
  return fail(ErrorCode::kUsage, "{}: holds several files ({}); exactly one is expected, the disk", archive_name, list);
}

Result<> expect_one_regular_file(int fd, std::uint64_t start_bytes, ForeignMagic archive_kind,
                                 const std::string& name) {
  Window window(fd, start_bytes);
  const std::unique_ptr<archive, Free> owner(archive_read_new());
  archive* handle = owner.get();
  assert(handle != nullptr);  // else out of memory
  if (archive_kind == ForeignMagic::kTar) {
    archive_read_support_format_tar(handle);
    archive_read_set_format_option(handle, "tar", "hdrcharset", "BINARY");
  } else {
    archive_read_support_format_zip_seekable(handle);
    archive_read_set_seek_callback(handle, Window::on_seek);
  }
  archive_read_set_read_callback(handle, Window::on_read);
  archive_read_set_skip_callback(handle, Window::on_skip);
  archive_read_set_callback_data(handle, &window);

  std::vector<std::string> members;
  int result = archive_read_open1(handle);
  while (result == ARCHIVE_OK || result == ARCHIVE_WARN) {
    archive_entry* entry = nullptr;
    result = archive_read_next_header(handle, &entry);
    const bool usable = result == ARCHIVE_OK || result == ARCHIVE_WARN;
    if (usable && is_regular_file(entry)) members.push_back(entry_name(entry));
    if (members.size() > kNamesMax) break;
  }
  if (window.read_errno() != 0) return fail_errno(window.read_errno(), "{}: cannot be read", name);
  if (members.size() > 1) return several_files(name, members);
  if (result != ARCHIVE_EOF) {
    const bool recognised = archive_format(handle) != 0;
    const char* reason = recognised ? archive_error_string(handle) : "its directory at the end is missing";
    return fail(ErrorCode::kDiffers, "{}: {} damaged or truncated: {}", name, name_of(archive_kind),
                printable(reason != nullptr ? reason : "no reason given"));
  }
  if (members.empty()) return no_file(name);
  return {};
}

}  // namespace drseed::seed
