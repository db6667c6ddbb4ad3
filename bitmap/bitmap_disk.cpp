#include "bitmap/bitmap_disk.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "base/file.h"
#include "base/unique_fd.h"

namespace drseed::bitmap {
namespace {

class FileStore : public BitmapStore {
 public:
  FileStore(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  std::string name() const override { return path_; }

  Result<std::uint64_t> size_bytes() override {
    struct stat status {};
    if (fstat(fd_.get(), &status) != 0) return fail_errno(errno, "{}: size cannot be read", path_);
    return static_cast<std::uint64_t>(status.st_size);
  }

  Result<> read(std::uint64_t offset_bytes, std::span<std::uint8_t> bytes) override {
    return pread_exactly(fd_.get(), bytes, offset_bytes, path_);
  }

  Result<> write(std::uint64_t offset_bytes, std::span<const std::uint8_t> bytes) override {
    for (std::size_t done = 0; done < bytes.size();) {
      const auto count =
          pwrite(fd_.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset_bytes + done));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0)
        return fail_errno(count < 0 ? errno : ENOSPC, "{}: write failed at offset {}", path_, offset_bytes + done);
      done += static_cast<std::size_t>(count);
    }
    return {};
  }

  Result<> sync() override {
    if (fdatasync(fd_.get()) != 0) return fail_errno(errno, "{}: flush failed", path_);
    return {};
  }

 private:
  UniqueFd fd_;
  std::string path_;
};

Result<> sync_folder(const std::string& path) {
  auto folder = std::filesystem::path(path).parent_path();
  if (folder.empty()) folder = ".";
  UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || fsync(fd.get()) != 0) return fail_errno(errno, "{}: cannot be flushed", folder.string());
  return {};
}

Result<> fill_new_file(const std::string& temporary, const FileInfo& info, const StateRecord& state) {
  UniqueFd fd(::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return fail_errno(errno, "{}: cannot be created", temporary);
  const auto size = Layout(info).file_bytes();
  if (ftruncate(fd.get(), static_cast<off_t>(size)) != 0)
    return fail_errno(errno, "{}: cannot be made {} bytes long (sparse)", temporary, size);
  const int raw_fd = fd.get();
  FileStore store(std::move(fd), temporary);
  DRSEED_TRY(BitmapFile::format(store, info, state));
  if (fsync(raw_fd) != 0) return fail_errno(errno, "{}: cannot be flushed", temporary);
  return {};
}

}  // namespace

Result<> create_bitmap_file(const std::string& path, const FileInfo& info, const StateRecord& state) {
  DRSEED_TRY(check_info(info));
  const std::string temporary = path + "." + to_string(random_id()) + ".new";
  if (::access(path.c_str(), F_OK) == 0)
    return fail(ErrorCode::kRefused,
                "{}: exists; a bitmap is never overwritten. Remove it first, or choose another name", path);
  auto filled = fill_new_file(temporary, info, state);
  if (filled && renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) != 0)
    filled = fail_errno(errno, "{}: cannot be created", path);
  if (!filled) {
    unlink(temporary.c_str());
    return filled;
  }
  return sync_folder(path);
}

Result<BitmapFile> open_bitmap_file(const std::string& path, OpenMode mode) {
  const bool writes = mode == OpenMode::kReadWrite;
  UniqueFd fd(::open(path.c_str(), (writes ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "{}: cannot be opened", path);
  struct stat status {};
  if (fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode))
    return fail(ErrorCode::kUsage, "{}: is no regular file", path);
  DRSEED_TRY(writes ? lock_exclusively(fd.get(), path) : lock_shared(fd.get(), path));
  return BitmapFile::open(std::make_unique<FileStore>(std::move(fd), path));
}

}  // namespace drseed::bitmap
