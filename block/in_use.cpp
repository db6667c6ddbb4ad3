// One walk over the disk and what stands on it. Each block device in the walk (the disk, its partitions, the disk it is
// a partition of, loop devices over any of them) is looked up among the mounts, the swap areas and the sysfs holders.
#include "block/in_use.h"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <set>
#include <sstream>

#include "base/file.h"
#include "base/unique_fd.h"
#include "block/disk_key.h"

namespace drseed::block {
namespace {

constexpr std::size_t kProcTextBytesMax = 64 << 20;  // a host with a hundred thousand mounts fits

struct Mount {
  dev_t device = 0;
  std::optional<DiskKey> source;  // btrfs has a device number of its own in mountinfo; its source names the disk
  std::string where;
  bool writes = false;
};

struct System {
  std::vector<Mount> mounts;
  std::vector<DiskKey> swaps;
  std::vector<LoopDevice> loops;
};

// "\040" and its like in /proc/self/mountinfo and /proc/swaps.
std::string unescaped(std::string_view text) {
  const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
        is_octal(text[i + 3])) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream stream(line);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(std::move(word));
  return words;
}

// The kernel puts "ro" or "rw" first among the super block's options.
bool is_read_only(std::string_view options) {
  return options.substr(0, options.find(',')) == "ro";
}

// proc(5): id parent MAJOR:MINOR root where options [tags...] - type source super-options
std::optional<Mount> parse_mount(const std::string& line) {
  const auto words = words_of(line);
  const auto separator = std::find(words.begin(), words.end(), "-");
  if (words.size() < 6 || words.end() - separator < 4) return std::nullopt;
  unsigned major_number = 0;
  unsigned minor_number = 0;
  if (std::sscanf(words[2].c_str(), "%u:%u", &major_number, &minor_number) != 2) return std::nullopt;
  Mount mount;
  mount.device = makedev(major_number, minor_number);
  mount.where = unescaped(words[4]);
  mount.writes = !is_read_only(separator[3]);
  const std::string source = unescaped(separator[2]);
  if (major_number == 0 && source.starts_with("/dev/")) mount.source = disk_key_at(source);
  return mount;
}

Result<System> look_at_system() {
  System system;
  std::istringstream mountinfo(DRSEED_TRY(read_file("/proc/self/mountinfo", kProcTextBytesMax)));
  for (std::string line; std::getline(mountinfo, line);) {
    if (auto mount = parse_mount(line)) system.mounts.push_back(*std::move(mount));
  }
  // No /proc/swaps: a kernel without swap.
  std::istringstream swaps(read_file("/proc/swaps", kProcTextBytesMax).value_or(""));
  for (std::string line; std::getline(swaps, line);) {
    const auto words = words_of(line);
    if (words.empty() || !words[0].starts_with('/')) continue;
    if (const auto key = disk_key_at(unescaped(words[0]))) system.swaps.push_back(*key);
  }
  system.loops = loop_devices();
  return system;
}

class Walk {
 public:
  explicit Walk(const System& system) : system_(system) {}

  // The disk that was asked for, and the disk that it is a partition of.
  void start(DiskKey disk);
  std::vector<Use> take_uses() { return std::move(uses_); }
  // Whether a use that was found holds the disk itself exclusively (one by way of a loop device does not).
  bool has_exclusive_use() const { return has_exclusive_use_; }

 private:
  void visit(DiskKey disk, const std::string& note, bool by_loop);
  void visit_partitions(const std::string& folder, const std::string& note, bool by_loop);
  void find_mounts(dev_t device, const std::string& note, bool by_loop);
  void find_holders(const std::string& folder, const std::string& note, bool by_loop);
  void find_loops(DiskKey disk, const std::string& note);
  void add(Use use, bool by_loop);

  const System& system_;
  std::vector<Use> uses_;
  std::set<DiskKey> visited_;
  bool has_exclusive_use_ = false;
};

void Walk::start(DiskKey disk) {
  visit(disk, "", false);
  if (!disk.is_block_device) return;
  const std::string folder = sysfs_folder(disk.device);
  if (sysfs_text(folder + "/partition").empty()) return;
  // The whole disk, but not the partitions beside this one.
  const std::string parent_folder = folder.substr(0, folder.rfind('/'));
  const auto parent = device_of_sysfs(parent_folder);
  if (!parent) return;
  const std::string note = fmt::format(" (its whole disk, {})", parent_folder.substr(parent_folder.rfind('/') + 1));
  find_mounts(*parent, note, false);
  find_holders(parent_folder, note, false);
  find_loops({true, *parent, 0}, note);
}

void Walk::visit(DiskKey disk, const std::string& note, bool by_loop) {
  if (!visited_.insert(disk).second) return;
  if (std::find(system_.swaps.begin(), system_.swaps.end(), disk) != system_.swaps.end()) {
    add({UseKind::kSwap, true, "swap" + note}, by_loop);
  }
  if (disk.is_block_device) {
    const std::string folder = sysfs_folder(disk.device);
    find_mounts(disk.device, note, by_loop);
    if (!folder.empty()) {
      find_holders(folder, note, by_loop);
      visit_partitions(folder, note, by_loop);
    }
  }
  find_loops(disk, note);
}

void Walk::visit_partitions(const std::string& folder, const std::string& note, bool by_loop) {
  for (const auto& name : names_in(folder)) {
    const std::string number = sysfs_text(folder + '/' + name + "/partition");
    const auto device = number.empty() ? std::nullopt : device_of_sysfs(folder + '/' + name);
    if (device) visit({true, *device, 0}, fmt::format(" (partition {}){}", number, note), by_loop);
  }
}

void Walk::find_mounts(dev_t device, const std::string& note, bool by_loop) {
  const DiskKey disk{true, device, 0};
  for (const auto& mount : system_.mounts) {
    if (mount.device != device && mount.source != disk) continue;
    add({UseKind::kMounted, mount.writes, fmt::format("mounted at {}{}", mount.where, note)}, by_loop);
  }
}

void Walk::find_holders(const std::string& folder, const std::string& note, bool by_loop) {
  for (const auto& name : names_in(folder + "/holders")) {
    const std::string holder = "/sys/class/block/" + name;
    const std::string given_name = sysfs_text(holder + "/dm/name");
    const std::string shown = given_name.empty() ? name : fmt::format("{} ({})", name, given_name);
    add({UseKind::kHeld, sysfs_text(holder + "/ro") != "1", fmt::format("held by {}{}", shown, note)}, by_loop);
  }
}

void Walk::find_loops(DiskKey disk, const std::string& note) {
  for (const auto& loop : system_.loops) {
    if (loop.backing != disk) continue;
    add({UseKind::kLoopBacking, loop.writes, fmt::format("attached to /dev/{}{}", loop.name, note)}, true);
    visit({true, loop.device, 0}, fmt::format(" (through /dev/{}){}", loop.name, note), true);
  }
}

void Walk::add(Use use, bool by_loop) {
  if (!by_loop) has_exclusive_use_ = true;
  uses_.push_back(std::move(use));
}

bool is_held_exclusively(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC));
  return !fd && errno == EBUSY;
}

}  // namespace

Result<std::vector<Use>> users_of(const std::string& path) {
  const DiskKey disk = DRSEED_TRY(find_disk_key(path));
  const System system = DRSEED_TRY(look_at_system());
  Walk walk(system);
  walk.start(disk);
  const bool is_unexplained = disk.is_block_device && !walk.has_exclusive_use() && is_held_exclusively(path);
  auto uses = walk.take_uses();
  if (is_unexplained) uses.push_back({UseKind::kExclusive, true, "opened exclusively by another program"});
  return uses;
}

std::string describe(const std::vector<Use>& uses) {
  std::string text;
  for (const auto& use : uses) text += (text.empty() ? "" : "; ") + use.what;
  return text;
}

}  // namespace drseed::block
