// block/in_use: who uses a disk, and which two paths are one disk.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "block/in_use.h"
#include "block_test_support.h"

namespace drseed::block {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;

auto use_of(UseKind kind, bool writes, const std::string& what) {
  return AllOf(Field("kind", &Use::kind, kind), Field("writes", &Use::writes, writes), Field("what", &Use::what, what));
}

std::vector<Use> uses(const std::string& path) {
  auto found = users_of(path);
  EXPECT_TRUE(found) << found.error().message();
  return found.value_or(std::vector<Use>());
}

class InUse : public testing::Test {
 protected:
  // A file of 16 MiB with an ext4 file system, or "".
  std::string ext4_file() { return make_ext4(make_file(folder_ / "disk", 16 * kMiB)); }
  TemporaryFolder folder_;
};

TEST_F(InUse, NobodyUsesAFileOrAFreeLoopDevice) {
  const auto path = make_file(folder_ / "disk", kMiB);
  EXPECT_THAT(uses(path), IsEmpty());
  Loop loop(path);
  NEED_LOOP(loop);
  EXPECT_THAT(uses(loop.path), IsEmpty());
}

TEST_F(InUse, MissingPathIsAnErrorAndAPipeAUsageError) {
  EXPECT_EQ(users_of(folder_ / "nothing").error().system_errno, ENOENT);
  EXPECT_EQ(users_of("/dev/null").error().code, ErrorCode::kUsage);
}

TEST_F(InUse, MountedLoopDeviceIsInUse) {
  const auto path = ext4_file();
  if (path.empty()) GTEST_SKIP() << "no mke2fs";
  Loop loop(path);
  NEED_LOOP(loop);
  const auto where = folder_ / "mounted";
  {
    const Mounted mounted(loop.path, where, "ext4");
    NEED_MOUNT(mounted);
    EXPECT_THAT(uses(loop.path), ElementsAre(use_of(UseKind::kMounted, true, "mounted at " + where)));
  }
  EXPECT_THAT(uses(loop.path), IsEmpty());
}

TEST_F(InUse, MountPointWithSpacesIsShownAsItIs) {
  const auto path = ext4_file();
  if (path.empty()) GTEST_SKIP() << "no mke2fs";
  Loop loop(path);
  NEED_LOOP(loop);
  const auto where = folder_ / "a b\\c - d";
  const Mounted mounted(loop.path, where, "ext4");
  NEED_MOUNT(mounted);
  EXPECT_THAT(uses(loop.path), ElementsAre(use_of(UseKind::kMounted, true, "mounted at " + where)));
}

TEST_F(InUse, ReadOnlyMountDoesNotWrite) {
  const auto path = ext4_file();
  if (path.empty()) GTEST_SKIP() << "no mke2fs";
  Loop loop(path);
  NEED_LOOP(loop);
  const auto where = folder_ / "mounted";
  const Mounted mounted(loop.path, where, "ext4", MS_RDONLY);
  NEED_MOUNT(mounted);
  EXPECT_THAT(uses(loop.path), ElementsAre(use_of(UseKind::kMounted, false, "mounted at " + where)));
}

TEST_F(InUse, ReadOnlyBindOfAWritableMountWrites) {
  const auto path = ext4_file();
  if (path.empty()) GTEST_SKIP() << "no mke2fs";
  Loop loop(path);
  NEED_LOOP(loop);
  const Mounted mounted(loop.path, folder_ / "mounted", "ext4");
  NEED_MOUNT(mounted);
  ASSERT_EQ(mount("none", (folder_ / "mounted").c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr), 0);
  EXPECT_THAT(uses(loop.path), ElementsAre(Field("writes", &Use::writes, true)));
}

TEST_F(InUse, FileBehindAMountedLoopDeviceIsInUse) {
  const auto path = ext4_file();
  if (path.empty()) GTEST_SKIP() << "no mke2fs";
  Loop loop(path);
  NEED_LOOP(loop);
  const auto where = folder_ / "mounted";
  const Mounted mounted(loop.path, where, "ext4");
  NEED_MOUNT(mounted);
  EXPECT_THAT(uses(path),
              ElementsAre(use_of(UseKind::kLoopBacking, true, "attached to " + loop.path),
                          use_of(UseKind::kMounted, true, "mounted at " + where + " (through " + loop.path + ")")));
}

TEST_F(InUse, ReadOnlyLoopDeviceDoesNotWrite) {
  const auto path = make_file(folder_ / "disk", kMiB);
  Loop loop(path, Loop::kReadOnly);
  NEED_LOOP(loop);
  EXPECT_THAT(uses(path), ElementsAre(use_of(UseKind::kLoopBacking, false, "attached to " + loop.path)));
}

TEST_F(InUse, LoopBackingIsFoundByAnyNameOfTheFile) {
  const auto path = make_file(folder_ / "disk", kMiB);
  Loop loop(path);
  NEED_LOOP(loop);
  std::filesystem::create_hard_link(path, folder_ / "link");
  std::filesystem::remove(path);
  EXPECT_THAT(uses(folder_ / "link"), ElementsAre(use_of(UseKind::kLoopBacking, true, "attached to " + loop.path)));
}

TEST_F(InUse, LoopDeviceOverALoopDeviceIsAUserOfBothBehindIt) {
  const auto path = make_file(folder_ / "disk", kMiB);
  Loop lower(path);
  NEED_LOOP(lower);
  Loop upper(lower.path);
  NEED_LOOP(upper);
  EXPECT_THAT(uses(lower.path), Contains(use_of(UseKind::kLoopBacking, true, "attached to " + upper.path)));
  EXPECT_THAT(uses(path), Contains(use_of(UseKind::kLoopBacking, true,
                                          "attached to " + upper.path + " (through " + lower.path + ")")));
}

TEST_F(InUse, MountedPartitionIsAUserOfItsDiskAndNotOfItsNeighbour) {
  Loop loop(make_file(folder_ / "disk", 16 * kMiB), Loop::kPartitions);
  NEED_LOOP(loop);
  const auto first = loop.add_partition(1);
  const auto second = loop.add_partition(2);
  if (second.empty() || make_ext4(first).empty()) GTEST_SKIP() << "no partition devices, or no mke2fs";
  const auto where = folder_ / "mounted";
  const Mounted mounted(first, where, "ext4");
  NEED_MOUNT(mounted);
  EXPECT_THAT(uses(loop.path), ElementsAre(use_of(UseKind::kMounted, true, "mounted at " + where + " (partition 1)")));
  EXPECT_THAT(uses(first), ElementsAre(use_of(UseKind::kMounted, true, "mounted at " + where)));
  EXPECT_THAT(uses(second), IsEmpty());
  EXPECT_THAT(
      uses(folder_ / "disk"),
      Contains(use_of(UseKind::kMounted, true, "mounted at " + where + " (partition 1) (through " + loop.path + ")")));
}

TEST_F(InUse, DiskMountedWholeIsInUseByItsPartitionsToo) {
  const auto path = ext4_file();
  if (path.empty()) GTEST_SKIP() << "no mke2fs";
  Loop loop(path, Loop::kPartitions);
  NEED_LOOP(loop);
  const auto partition = loop.add_partition(1);
  if (partition.empty()) GTEST_SKIP() << "no partition devices";
  const auto where = folder_ / "mounted";
  const Mounted mounted(loop.path, where, "ext4");
  NEED_MOUNT(mounted);
  EXPECT_THAT(uses(partition), ElementsAre(use_of(UseKind::kMounted, true,
                                                  "mounted at " + where + " (its whole disk, " + loop.name() + ")")));
}

TEST_F(InUse, LoopDeviceOverTheWholeDiskIsAUserOfItsPartitions) {
  Loop loop(make_file(folder_ / "disk", 16 * kMiB), Loop::kPartitions);
  NEED_LOOP(loop);
  const auto partition = loop.add_partition(1);
  if (partition.empty()) GTEST_SKIP() << "no partition devices";
  EXPECT_THAT(uses(partition), IsEmpty());
  Loop upper(loop.path);
  NEED_LOOP(upper);
  EXPECT_THAT(uses(partition),
              ElementsAre(use_of(UseKind::kLoopBacking, true,
                                 "attached to " + upper.path + " (its whole disk, " + loop.name() + ")")));
}

TEST_F(InUse, SwapIsInUse) {
  const auto path = make_file(folder_ / "disk", 4 * kMiB);
  Loop loop(path);
  NEED_LOOP(loop);
  if (!run("mkswap " + loop.path)) GTEST_SKIP() << "no mkswap";
  if (swapon(loop.path.c_str(), 0) != 0) GTEST_SKIP() << "swapon is refused: " << std::strerror(errno);
  const auto found = uses(loop.path);
  const auto found_behind = uses(path);
  ASSERT_EQ(swapoff(loop.path.c_str()), 0);
  EXPECT_THAT(found, ElementsAre(use_of(UseKind::kSwap, true, "swap")));
  EXPECT_THAT(found_behind, Contains(use_of(UseKind::kSwap, true, "swap (through " + loop.path + ")")));
}

TEST_F(InUse, DeviceMapperIsAHolder) {
  Loop loop(make_file(folder_ / "disk", kMiB));
  NEED_LOOP(loop);
  const std::string name = "drseed-block-test-" + std::to_string(getpid());
  if (!run("dmsetup create " + name + " --table '0 2048 linear " + loop.path + " 0'")) {
    GTEST_SKIP() << "no device mapper";
  }
  const auto found = uses(loop.path);
  EXPECT_TRUE(run("dmsetup remove " + name));
  EXPECT_THAT(found, ElementsAre(AllOf(Field("kind", &Use::kind, UseKind::kHeld),
                                       Field("what", &Use::what, HasSubstr("held by dm-")),
                                       Field("what", &Use::what, HasSubstr(name)))));
}

TEST_F(InUse, ExclusiveOpenByAnotherIsInUse) {
  Loop loop(make_file(folder_ / "disk", kMiB));
  NEED_LOOP(loop);
  {
    const UniqueFd held(::open(loop.path.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
    ASSERT_TRUE(held);
    EXPECT_THAT(uses(loop.path), ElementsAre(Field("kind", &Use::kind, UseKind::kExclusive)));
    Loop upper(loop.path);  // attached to a loop device as well: that does not explain it
    EXPECT_THAT(uses(loop.path), Contains(Field("kind", &Use::kind, UseKind::kExclusive)));
  }
  EXPECT_THAT(uses(loop.path), IsEmpty());
}

TEST(Describe, JoinsTheUses) {
  EXPECT_EQ(describe({}), "");
  EXPECT_EQ(describe({{UseKind::kMounted, true, "mounted at /srv/data"}, {UseKind::kSwap, true, "swap"}}),
            "mounted at /srv/data; swap");
}

// ---- Same disk ----

class SameDisk : public InUse {};

bool same(const std::string& a, const std::string& b) {
  const auto forwards = same_disk(a, b);
  const auto backwards = same_disk(b, a);
  EXPECT_TRUE(forwards && backwards);
  EXPECT_EQ(*forwards, *backwards);
  return *forwards;
}

TEST_F(SameDisk, FileIsItselfByAnyNameAndNotItsCopy) {
  const auto path = make_file(folder_ / "disk", kMiB);
  std::filesystem::create_hard_link(path, folder_ / "hard");
  std::filesystem::create_symlink(path, folder_ / "soft");
  std::filesystem::copy_file(path, folder_ / "copy");
  EXPECT_TRUE(same(path, folder_ / "hard"));
  EXPECT_TRUE(same(path, folder_ / "soft"));
  EXPECT_FALSE(same(path, folder_ / "copy"));
  EXPECT_EQ(same_disk(path, folder_ / "nothing").error().system_errno, ENOENT);
}

TEST_F(SameDisk, LoopDeviceIsWhatIsBehindItThroughAnyChain) {
  const auto path = make_file(folder_ / "disk", kMiB);
  const auto other = make_file(folder_ / "other", kMiB);
  Loop lower(path);
  Loop upper(lower.path);
  Loop beside(path);
  Loop unrelated(other);
  for (const auto* loop : {&lower, &upper, &beside, &unrelated}) NEED_LOOP(*loop);
  EXPECT_TRUE(same(lower.path, path));
  EXPECT_TRUE(same(upper.path, lower.path));
  EXPECT_TRUE(same(upper.path, path));
  EXPECT_TRUE(same(upper.path, beside.path));
  EXPECT_FALSE(same(unrelated.path, path));
  EXPECT_FALSE(same(unrelated.path, upper.path));
}

TEST_F(SameDisk, DeviceNodeByAnotherNameIsTheSameDisk) {
  Loop loop(make_file(folder_ / "disk", kMiB));
  NEED_LOOP(loop);
  struct stat state {};
  ASSERT_EQ(stat(loop.path.c_str(), &state), 0);
  if (mknod((folder_ / "node").c_str(), S_IFBLK | 0600, state.st_rdev) != 0) GTEST_SKIP() << "mknod is refused";
  EXPECT_TRUE(same(loop.path, folder_ / "node"));
}

TEST_F(SameDisk, PartitionIsNotItsDisk) {
  Loop loop(make_file(folder_ / "disk", 16 * kMiB), Loop::kPartitions);
  NEED_LOOP(loop);
  const auto partition = loop.add_partition(1);
  if (partition.empty()) GTEST_SKIP() << "no partition devices";
  EXPECT_FALSE(same(partition, loop.path));
}

}  // namespace
}  // namespace drseed::block
