#include "seed/volume_output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <filesystem>
#include <vector>

#include "base/digest.h"
#include "base/file.h"

namespace drseed::seed {
namespace {

constexpr std::uint64_t kWritebackBytes = 32 << 20;

Result<> sync_folder_of(const std::string& path) {
  auto folder = std::filesystem::path(path).parent_path();
  if (folder.empty()) folder = ".";
  UniqueFd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || fsync(fd.get()) != 0) return fail_errno(errno, "{}: cannot be flushed", folder.string());
  return {};
}

bool is_regular(int fd) {
  struct stat status {};
  return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

}  // namespace

VolumeOutput VolumeOutput::replay(std::string path) {
  return VolumeOutput(std::move(path));
}

Result<VolumeOutput> VolumeOutput::create(std::string path) {
  VolumeOutput output(std::move(path));
  DRSEED_TRY(output.go_live());
  return output;
}

VolumeOutput VolumeOutput::to_descriptor(UniqueFd fd, std::string name) {
  VolumeOutput output(std::move(name));
  output.regular_file_ = is_regular(fd.get());
  output.fd_ = std::move(fd);
  return output;
}

Result<> VolumeOutput::go_live() {
  assert(!fd_);
  // Mode 0600: an image holds whatever the disk holds, which others may not read.
  const int create_flags = position_bytes_ == 0 ? O_CREAT : 0;
  UniqueFd fd(open(path_.c_str(), O_WRONLY | create_flags | O_CLOEXEC, 0600));
  if (!fd) return fail_errno(errno, "{}: cannot be opened for writing", path_);
  regular_file_ = is_regular(fd.get());
  if (regular_file_) DRSEED_TRY(lock_exclusively(fd.get(), path_));
  if (regular_file_) {
    const auto position = static_cast<off_t>(position_bytes_);
    if (ftruncate(fd.get(), position) != 0 || lseek(fd.get(), position, SEEK_SET) != position) {
      return fail_errno(errno, "{}: cannot be cut at byte {}", path_, position_bytes_);
    }
  } else if (position_bytes_ != 0) {
    return fail(ErrorCode::kUsage, "{}: is no ordinary file, an image in it cannot be resumed", path_);
  }
  written_back_bytes_ = position_bytes_;
  fd_ = std::move(fd);
  return {};
}

Result<> VolumeOutput::write(std::initializer_list<std::span<const std::uint8_t>> parts) {
  std::vector<iovec> vectors;
  std::size_t left = 0;
  for (auto part : parts) {
    if (part.empty()) continue;
    vectors.push_back({const_cast<std::uint8_t*>(part.data()), part.size()});
    left += part.size();
  }
  position_bytes_ += left;
  if (!fd_) return {};
  auto* next = vectors.data();
  auto count = static_cast<int>(vectors.size());
  while (left > 0) {
    ssize_t put = writev(fd_.get(), next, count);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return fail_errno(errno, "{}: cannot be written at byte {}", path_, position_bytes_ - left);
    left -= static_cast<std::size_t>(put);
    for (; count > 0 && put >= static_cast<ssize_t>(next->iov_len); ++next, --count)
      put -= static_cast<ssize_t>(next->iov_len);
    if (count > 0) {
      next->iov_base = static_cast<std::uint8_t*>(next->iov_base) + put;
      next->iov_len -= static_cast<std::size_t>(put);
    }
  }
  start_writeback();
  return {};
}

// Starts writing back early and evenly, so that the flush at the end finds little to do.
void VolumeOutput::start_writeback() {
  if (!regular_file_ || position_bytes_ - written_back_bytes_ < kWritebackBytes) return;
  sync_file_range(fd_.get(), static_cast<off_t>(written_back_bytes_),
                  static_cast<off_t>(position_bytes_ - written_back_bytes_), SYNC_FILE_RANGE_WRITE);
  written_back_bytes_ = position_bytes_;
}

Result<> VolumeOutput::write_header(const TarMember& member) {
  return write({encode_tar_header(member)});
}

Result<> VolumeOutput::write_padding(std::uint64_t content_bytes) {
  static const TarBlock zeros{};
  return write({std::span(zeros).first(tar_padding_bytes(content_bytes))});
}

Result<> VolumeOutput::write_member(const TarMember& member, std::string_view content) {
  assert(member.size_bytes == content.size());
  DRSEED_TRY(write_header(member));
  DRSEED_TRY(write({as_bytes(content)}));
  return write_padding(content.size());
}

Result<> VolumeOutput::write_end() {
  static const std::array<std::uint8_t, kTarEndBytes> end{};
  return write({end});
}

Result<> VolumeOutput::finish() {
  if (!fd_) return {};
  const bool flushed = fsync(fd_.get()) == 0 || errno == EINVAL || errno == EROFS;  // a pipe cannot be flushed
  if (!flushed) return fail_errno(errno, "{}: cannot be flushed: the image is not safe", path_);
  if (close(fd_.release()) != 0) return fail_errno(errno, "{}: cannot be closed", path_);
  if (regular_file_ && path_ != "-") return sync_folder_of(path_);
  return {};
}

}  // namespace drseed::seed
