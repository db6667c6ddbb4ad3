#include "block/disk_key.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "base/file.h"
#include "base/unique_fd.h"
#include "block/device.h"

namespace drseed::block {
namespace {

constexpr std::size_t kSysfsTextBytesMax = 64 << 10;  // a sysfs file is a page at most, which can be 64 KiB

// What is behind a loop device. The ioctl knows it by inode, so also for a deleted file and one of another mount
// namespace; the path in sysfs needs no right to open the device.
std::optional<DiskKey> backing_of(const std::string& name, const std::string& folder) {
  const UniqueFd fd(open(("/dev/" + name).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  loop_info64 info{};
  if (fd && ioctl(fd.get(), LOOP_GET_STATUS64, &info) == 0) {
    if (info.lo_rdevice != 0) return DiskKey{true, info.lo_rdevice, 0};
    return DiskKey{false, info.lo_device, info.lo_inode};
  }
  return disk_key_at(sysfs_text(folder + "/loop/backing_file"));
}

// The disk itself, what is behind it if it is a loop device, what is behind that, and so on.
std::vector<DiskKey> chain_of(DiskKey disk, const std::vector<LoopDevice>& loops) {
  std::vector<DiskKey> chain{disk};
  while (chain.size() <= loops.size() + 1) {
    const auto loop = std::find_if(loops.begin(), loops.end(), [&chain](const LoopDevice& candidate) {
      return chain.back() == DiskKey{true, candidate.device, 0};
    });
    if (loop == loops.end()) break;
    chain.push_back(loop->backing);
  }
  return chain;
}

}  // namespace

std::optional<DiskKey> disk_key_of(const struct stat& state) {
  if (S_ISBLK(state.st_mode)) return DiskKey{true, state.st_rdev, 0};
  if (S_ISREG(state.st_mode)) return DiskKey{false, state.st_dev, state.st_ino};
  return std::nullopt;
}

std::optional<DiskKey> disk_key_at(const std::string& path) {
  struct stat state {};
  if (path.empty() || stat(path.c_str(), &state) != 0) return std::nullopt;
  return disk_key_of(state);
}

Result<DiskKey> find_disk_key(const std::string& path) {
  struct stat state {};
  if (stat(path.c_str(), &state) != 0) return fail_errno(errno, "{}: cannot be looked at", path);
  const auto key = disk_key_of(state);
  if (key) return *key;
  return fail(ErrorCode::kUsage, "{}: neither a block device nor a regular file; name one of these", path);
}

std::string sysfs_folder(dev_t device) {
  const auto link = fmt::format("/sys/dev/block/{}:{}", major(device), minor(device));
  const std::unique_ptr<char, decltype(&std::free)> resolved(realpath(link.c_str(), nullptr), &std::free);
  return resolved ? resolved.get() : "";
}

std::string sysfs_text(const std::string& path) {
  auto text = read_file(path, kSysfsTextBytesMax);
  if (!text) return "";
  if (text->ends_with('\n')) text->pop_back();
  return *std::move(text);
}

std::optional<dev_t> device_of_sysfs(const std::string& folder) {
  unsigned major_number = 0;
  unsigned minor_number = 0;
  if (std::sscanf(sysfs_text(folder + "/dev").c_str(), "%u:%u", &major_number, &minor_number) != 2) return std::nullopt;
  return makedev(major_number, minor_number);
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(opendir(folder.c_str()), &closedir);
  if (!listing) return names;
  while (const dirent* entry = readdir(listing.get())) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<LoopDevice> loop_devices() {
  std::vector<LoopDevice> loops;
  for (const auto& name : names_in("/sys/block")) {
    const std::string folder = "/sys/block/" + name;
    if (!name.starts_with("loop") || sysfs_text(folder + "/loop/backing_file").empty()) continue;
    const auto device = device_of_sysfs(folder);
    const auto backing = backing_of(name, folder);
    if (!device || !backing) continue;
    loops.push_back({name, *device, sysfs_text(folder + "/ro") == "0", *backing});
  }
  return loops;
}

Result<bool> same_disk(const std::string& path_a, const std::string& path_b) {
  const DiskKey a = DRSEED_TRY(find_disk_key(path_a));
  const DiskKey b = DRSEED_TRY(find_disk_key(path_b));
  const auto loops = loop_devices();
  const auto chain_a = chain_of(a, loops);
  const auto chain_b = chain_of(b, loops);
  return std::find_first_of(chain_a.begin(), chain_a.end(), chain_b.begin(), chain_b.end()) != chain_a.end();
}

}  // namespace drseed::block
