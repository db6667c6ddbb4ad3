// block/identity: what a disk is recognised as.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "block/identity.h"
#include "block_test_support.h"

namespace drseed::block {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

constexpr const char* kUuid = "12345678-9abc-def0-1234-56789abcdef0";

TEST(Identify, FileSystemIsNamedWithLabelAndUuid) {
  TemporaryFolder folder;
  const auto path = make_ext4(make_file(folder / "disk", 8 * kMiB), std::string("-L data -U ") + kUuid);
  if (path.empty()) GTEST_SKIP() << "no mke2fs";
  const auto identity = identify(*open_device(path));
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->filesystem_type, "ext4");
  EXPECT_EQ(identity->filesystem_label, "data");
  EXPECT_EQ(identity->filesystem_uuid, kUuid);
  EXPECT_TRUE(identity->has_known_content());
  EXPECT_EQ(identity->describe_content(), std::string("an ext4 file system 'data' (UUID ") + kUuid + ")");
}

TEST(Identify, PartitionTableIsKnownContent) {
  TemporaryFolder folder;
  const auto path = make_file(folder / "disk", 16 * kMiB);
  put_partition_table(path);
  const auto identity = identify(*open_device(path));
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->partition_table_type, "dos");
  EXPECT_EQ(identity->filesystem_type, "");
  EXPECT_EQ(identity->describe_content(), "a dos partition table");
}

TEST(Identify, EmptyDiskHasNoKnownContent) {
  TemporaryFolder folder;
  for (const std::uint64_t size : {std::uint64_t{0}, 8 * kMiB}) {
    const auto identity = identify(*open_device(make_file(folder / "disk", size)));
    ASSERT_TRUE(identity) << identity.error().message();
    EXPECT_FALSE(identity->has_known_content());
    EXPECT_EQ(identity->describe_content(), "");
  }
}

TEST(Identify, SeveralFileSystemsAtOnceAreKnownContent) {
  TemporaryFolder folder;
  const auto path = make_ext4(make_file(folder / "disk", 8 * kMiB));
  if (path.empty()) GTEST_SKIP() << "no mke2fs";
  put(path, 0, {'h', 's', 'q', 's'});  // squashfs, version 4
  put(path, 28, {4, 0});
  const auto identity = identify(*open_device(path));
  ASSERT_TRUE(identity);
  EXPECT_TRUE(identity->has_known_content());
  EXPECT_THAT(identity->filesystem_type, AnyOf("squashfs", "ext4", "ambivalent"));
  EXPECT_NE(identity->describe_content(), "");
}

TEST(Identify, LuksIsASignature) {
  TemporaryFolder folder;
  const auto path = make_file(folder / "disk", 8 * kMiB);
  put(path, 0, {'L', 'U', 'K', 'S', 0xba, 0xbe, 0, 1});
  const auto identity = identify(*open_device(path));
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->filesystem_type, "crypto_LUKS");
  EXPECT_THAT(identity->describe_content(), HasSubstr("a crypto_LUKS signature"));
}

TEST(Identify, UnreadableDiskIsNoError) {
  TemporaryFolder folder;
  const auto path = make_file(folder / "disk", 8 * kMiB);
  Loop loop(path);
  NEED_LOOP(loop);
  std::filesystem::resize_file(path, 0);
  const auto identity = identify(*open_device(loop.path));
  ASSERT_TRUE(identity) << identity.error().message();
  EXPECT_FALSE(identity->has_known_content());
}

TEST(Identify, PartitionOfABlockDeviceIsProbedByItself) {
  TemporaryFolder folder;
  Loop loop(make_file(folder / "disk", 16 * kMiB), Loop::kPartitions);
  NEED_LOOP(loop);
  const auto partition = loop.add_partition(1);
  if (partition.empty() || make_ext4(partition).empty()) GTEST_SKIP() << "no partition devices, or no mke2fs";
  const auto identity = identify(*open_device(partition));
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->filesystem_type, "ext4");
  EXPECT_EQ(identity->partition_table_type, "");
}

}  // namespace
}  // namespace drseed::block
