#include "base/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/interrupt.h"
#include "base/unique_fd.h"

namespace drseed {

Result<std::string> read_file(const std::string& path, std::size_t size_max) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "{}: cannot be opened", path);
  std::string content;
  char chunk[65536];
  for (;;) {
    const ssize_t got = read(fd.get(), chunk, sizeof chunk);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "{}: cannot be read", path);
    if (got == 0) return content;
    if (content.size() + static_cast<std::size_t>(got) > size_max) {
      return fail(ErrorCode::kDiffers, "{}: larger than the {} bytes such a file can have", path, size_max);
    }
    content.append(chunk, static_cast<std::size_t>(got));
  }
}

Result<> write_all(int fd, std::span<const std::uint8_t> bytes, std::string_view name) {
  while (!bytes.empty()) {
    const ssize_t put = write(fd, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) {
      DRSEED_TRY(check_interrupt());
      continue;
    }
    if (put < 0) return fail_errno(errno, "{}: cannot be written", name);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return {};
}

Result<> pread_exactly(int fd, std::span<std::uint8_t> bytes, std::uint64_t offset_bytes, std::string_view name) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = pread(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset_bytes + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "{}: cannot be read at offset {}", name, offset_bytes + done);
    if (got == 0) {
      return fail(ErrorCode::kDiffers, "{}: ends at offset {}, expected {} bytes more", name, offset_bytes + done,
                  bytes.size() - done);
    }
    done += static_cast<std::size_t>(got);
  }
  return {};
}

Result<> write_report(const std::string& path, std::string_view content) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0 || S_ISREG(status.st_mode)) return write_file_atomically(path, content);
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "{}: cannot be opened", path);
  return write_all(fd.get(), {reinterpret_cast<const std::uint8_t*>(content.data()), content.size()}, path);
}

Result<> write_file_atomically(const std::string& path, std::string_view content) {
  const std::string temporary = path + ".new";
  {
    unlink(temporary.c_str());
    UniqueFd fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd) return fail_errno(errno, "{}: cannot be created", temporary);
    DRSEED_TRY(write_all(fd.get(), {reinterpret_cast<const std::uint8_t*>(content.data()), content.size()}, temporary));
    if (fsync(fd.get()) != 0) return fail_errno(errno, "{}: cannot be flushed", temporary);
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    unlink(temporary.c_str());
    return fail_errno(error, "{}: cannot be replaced", path);
  }
  auto folder = std::filesystem::path(path).parent_path();
  if (folder.empty()) folder = ".";
  UniqueFd folder_fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder_fd || fsync(folder_fd.get()) != 0) return fail_errno(errno, "{}: cannot be flushed", folder.string());
  return {};
}

namespace {

Result<> lock(int fd, int operation, std::string_view name) {
  using std::chrono::steady_clock;
  constexpr std::chrono::seconds kPatience{2};
  constexpr std::chrono::milliseconds kStep{20};
  const auto deadline = steady_clock::now() + kPatience;
  while (flock(fd, operation | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return fail_errno(errno, "{}: cannot be locked", name);
    if (steady_clock::now() >= deadline) {
      return fail(ErrorCode::kRefused, "{}: is in use by another drseed (a lock is held on it); wait for it to end",
                  name);
    }
    std::this_thread::sleep_for(kStep);
  }
  return {};
}

}  // namespace

Result<> lock_exclusively(int fd, std::string_view name) {
  return lock(fd, LOCK_EX, name);
}

Result<> lock_shared(int fd, std::string_view name) {
  return lock(fd, LOCK_SH, name);
}

Result<std::string> state_directory(const std::string& chosen) {
  std::string directory = chosen;
  const char* from_environment = std::getenv("DRSEED_STATE_DIR");
  if (directory.empty() && from_environment != nullptr) directory = from_environment;
  std::error_code error;
  if (directory.empty()) {
    directory = "/var/lib/drseed";
    std::filesystem::create_directories(directory, error);
    if (access(directory.c_str(), W_OK) == 0) return directory;
    const char* xdg = std::getenv("XDG_STATE_HOME");
    const char* home = std::getenv("HOME");
    if (xdg != nullptr && *xdg != '\0') {
      directory = std::string(xdg) + "/drseed";
    } else if (home != nullptr && *home != '\0') {
      directory = std::string(home) + "/.local/state/drseed";
    }
  }
  std::filesystem::create_directories(directory, error);
  if (access(directory.c_str(), W_OK) != 0) {
    return fail_errno(errno, "state directory {} cannot be written; name another with --state-dir", directory);
  }
  return directory;
}

}  // namespace drseed
